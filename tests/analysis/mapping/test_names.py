"""Names of other implementations mean what their own code says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tracetui.analysis.mapping.ggml import uncounted
from tracetui.analysis.mapping.names import aliases, execution_rank, meaning
from tracetui.models.checkpoints.deepseek_names import reference_name
from tracetui.models.checkpoints.meta_names import meta_name

LLAMA = (
    *("input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
    *("post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
)
DEEPSEEK = (
    *("input_layernorm", "self_attn.q_a_proj", "self_attn.q_a_layernorm", "self_attn.q_b_proj", "self_attn.o_proj"),
    *("self_attn.kv_a_proj_with_mqa", "self_attn.kv_a_layernorm", "self_attn.kv_b_proj", "post_attention_layernorm"),
    *("mlp.gate", "mlp.experts.17.gate_proj", "mlp.experts.17.down_proj", "mlp.shared_experts.up_proj"),
)
OUTSIDE = ("model.embed_tokens", "model.norm", "lm_head")


@pytest.mark.parametrize("site", [*OUTSIDE, *(f"model.layers.12.{inner}" for inner in LLAMA)])
def test_meta_s_names_are_those_of_its_files(site: str) -> None:
    name = meta_name(f"{site}.weight")
    assert name is not None
    assert meaning(name).site == f"{site}.weight"
    assert meaning(name.removesuffix(".weight")).site == site


@pytest.mark.parametrize("site", [*OUTSIDE, *(f"model.layers.3.{inner}" for inner in DEEPSEEK)])
def test_deepseek_s_names_are_those_of_its_code(site: str) -> None:
    name = reference_name(f"{site}.weight")
    assert name is not None
    assert meaning(name.removesuffix(".weight")).site == site


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("token_embd", "model.embed_tokens"),
        ("blk.7.attn_q", "model.layers.7.self_attn.q_proj"),
        ("blk.7.attn_q.weight", "model.layers.7.self_attn.q_proj.weight"),
        ("blk.0.ffn_down_shexp", "model.layers.0.mlp.shared_experts.down_proj"),
        ("output_norm", "model.norm"),
        ("inp_embd", "model.embed_tokens"),
        ("attn_norm-0", "model.layers.0.input_layernorm"),
        ("Vcur-11", "model.layers.11.self_attn.v_proj"),
        ("Qcur-11 (reshaped)", "model.layers.11.self_attn.q_proj"),
        ("ffn_inp-2", "model.layers.2:attn_residual"),
        ("ffn_moe_topk-2", "model.layers.2.mlp:experts"),
        ("l_out-31", "model.layers.31"),
        ("result_norm", "model.norm"),
        ("result_output", "lm_head"),
        ("module._orig_mod.model.layers.0.mlp", "model.layers.0.mlp"),
        ("model.language_model.layers.0.mlp", "model.layers.0.mlp"),
        ("layers.4", "model.layers.4"),
        ("decoder.layers.4.mlp.linear_fc2", "model.layers.4.mlp.down_proj"),
        ("decoder.layers.4.mlp.linear_fc1#1@2", "model.layers.4.mlp.gate_up_proj#1@2"),
        ("transformer.h.3.norm_1", "model.layers.3.input_layernorm"),
        ("model/layers_3/mlp/__call__/0/1", "model.layers.3.mlp#1"),
        ("model/layers/3/mlp/__call__/2", "model.layers.3.mlp@0.2"),
        ("model.layers[3].self_attn.output[1]", "model.layers.3.self_attn#1"),
        ("model.layers[3].input", "model.layers.3:input"),
        ("output", "lm_head"),
        ("layers.4.self_attn:q@1.2", "model.layers.4.self_attn:q@1.2"),
        ("layers.4.attention#1@3", "model.layers.4.self_attn#1@3"),
        ("model.layers.1.block_sparse_moe.experts.5.w3", "model.layers.1.mlp.experts.5.up_proj"),
        ("layers.1.ffn.experts.5", "model.layers.1.mlp.experts.5"),
    ],
)
def test_what_a_name_means(name: str, site: str) -> None:
    assert meaning(name).site == site
    assert meaning(name).naming
    assert meaning(site).site == site


@pytest.mark.parametrize("name", ["encoder.block.3", "x", "", "layers.x.mlp", "blk.1.unheard_of", "\x1b[31m", "a\nb"])
def test_a_name_that_nobody_knows_stays(name: str) -> None:
    assert (meaning(name).site, meaning(name).naming) == (name, "")


def test_a_framework_s_names_that_others_have_too_are_its_own_beside_one_that_nobody_has() -> None:
    for name, mark, site in (
        ("decoder.layers.4.mlp", "decoder.layers.4.mlp.linear_fc1", "model.layers.4.mlp"),
        ("transformer.h.3.attn", "transformer.h.3.norm_1", "model.layers.3.self_attn"),
    ):
        assert meaning(name, others={name}).site == name
        assert meaning(name, others={name, mark}).site == site


def test_one_name_of_the_graph_is_two_tensors() -> None:
    assert meaning("Qcur-0", rank=3).site == "model.layers.0.self_attn:q"
    assert meaning("kqv_out-0").site == "model.layers.0.self_attn"
    assert meaning("kqv_out-0", others={"attn_out-0"}).site == "model.layers.0.self_attn:heads"


def test_a_name_beside_it_counts_that_a_script_has_counted_through() -> None:
    names = uncounted({"0007_attn_out-0", "12.ffn_up-1 (view)", "0.mlp.fc1", "cross_attn_out-2"})
    assert {"attn_out-0", "0007_attn_out-0", "ffn_up-1 (view)"} <= names
    assert "mlp.fc1" not in names, "no name of the graph"
    assert meaning("0008_kqv_out-0", others=names).site == "model.layers.0.self_attn:heads"
    assert meaning("0008_kqv_out-2", others=names).site == "model.layers.2.self_attn", "another name ends like that"


def test_names_beside_are_not_gone_through_for_each_name() -> None:
    class Names(frozenset[str]):
        def __iter__(self) -> Iterator[str]:
            raise AssertionError

    others = Names({"0001_norm-0"})
    for name in ("kqv_out-0", "kqv-0", "ffn_norm-0", "embd", "blk.0.attn_q", "model.layers.0.mlp", "anything"):
        meaning(name, others=others)


def test_aliases_go_both_ways() -> None:
    for site in (
        "lm_head",
        "model.layers.3.self_attn",
        "model.layers.3.mlp.gate#2",
        "model.layers.3",
        "model.embed_tokens",
    ):
        found = aliases(site)
        assert found
        for alias in found:
            assert site in aliases(alias)


def test_the_order_of_execution() -> None:
    layer = "model.layers.2"
    ordered = [
        *("model.embed_tokens", f"{layer}:input", f"{layer}.self_attn.q_proj", f"{layer}.self_attn:q"),
        *(f"{layer}.self_attn", f"{layer}.mlp", layer, "model.layers.10:input", "model.norm", "lm_head", "logits"),
    ]
    assert sorted(set(ordered), key=execution_rank) == ordered


def test_a_routers_logits_and_what_an_expert_is_given_are_known_under_their_other_names() -> None:
    assert meaning("layers.0.feed_forward.router").site == "model.layers.0.mlp.router"
    assert "model.layers.0.mlp.gate" in aliases("model.layers.0.mlp.router")
    assert aliases("model.layers.0.mlp.experts.3:in@1") == ["model.layers.0.mlp.experts.3:input@1"]
    assert aliases("model.layers.0.mlp.experts.3:input") == ["model.layers.0.mlp.experts.3:in"]
    assert not aliases("model.layers.0.mlp.experts.3:tokens")
