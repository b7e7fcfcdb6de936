"""Names of transformers' older families in the terms of its newer ones."""

from __future__ import annotations

import pytest

from tracetui.analysis.mapping.families import common_name

CASES = {
    "gpt_neox.layers.3.attention.query_key_value": "model.layers.3.self_attn.qkv_proj",
    "gpt_neox.layers.3.attention:heads": "model.layers.3.self_attn:heads",
    "gpt_neox.layers.0.mlp.dense_4h_to_h:input@1": "model.layers.0.mlp.down_proj:input@1",
    "gpt_neox.layers.11": "model.layers.11",
    "gpt_neox.embed_in": "model.embed_tokens",
    "gpt_neox.final_layer_norm": "model.norm",
    "transformer.h.0.attn.c_attn": "model.layers.0.self_attn.qkv_proj",
    "transformer.h.0.attn.c_proj": "model.layers.0.self_attn.o_proj",
    "transformer.h.0.mlp.c_proj": "model.layers.0.mlp.down_proj",
    "transformer.h.0.ln_2": "model.layers.0.post_attention_layernorm",
    "transformer.h.2.attn.attention.out_proj": "model.layers.2.self_attn.o_proj",
    "transformer.wte": "model.embed_tokens",
    "model.decoder.layers.1.fc2": "model.layers.1.mlp.down_proj",
    "model.decoder.layers.1.self_attn.out_proj@2.1": "model.layers.1.self_attn.o_proj@2.1",
    "model.layers.4.mlp.experts.7.down_proj": "model.layers.4.mlp.experts.7.down_proj",
    "model.layers.4:attn_residual": "model.layers.4:attn_residual",
    "lm_head": "lm_head",
    "logits@1": "logits@1",
}


@pytest.mark.parametrize(("site", "common"), CASES.items())
def test_a_site_of_an_older_family_is_known(site: str, common: str) -> None:
    assert common_name(site) == common


@pytest.mark.parametrize("site", CASES.values())
def test_a_common_name_stays_what_it_is(site: str) -> None:
    assert common_name(site) == site
