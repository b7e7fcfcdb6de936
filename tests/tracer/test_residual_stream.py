"""The residual stream after attention is found by what is added up, and only where it is the stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    DogeConfig,
    DogeForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
    OPTConfig,
    OPTForCausalLM,
)

import tracetui
from tests.tracer.models import SIZES, prompt, seeded, tiny_llama

GPT = {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "afn": "relu"}
OPT = {"vocab_size": 61, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
NEOX = {**OPT, "intermediate_size": 48, "use_parallel_residual": True}
ROWS = prompt() % 61


def traced(model_class: Any, config: Any) -> tracetui.Trace:
    return tracetui.trace(seeded(model_class, config), input_ids=ROWS)


def test_a_stream_that_enters_no_norm_is_found_where_it_enters_the_mlp() -> None:
    trace = traced(Olmo2ForCausalLM, Olmo2Config(**SIZES))
    for layer in ("model.layers.0", "model.layers.1"):
        after = trace[f"{layer}:input"] + trace[f"{layer}.post_attention_layernorm"]
        np.testing.assert_array_equal(trace[f"{layer}:attn_residual"], after)
        np.testing.assert_array_equal(after + trace[f"{layer}.post_feedforward_layernorm"], trace[layer])


@pytest.mark.parametrize("before", [True, False])
def test_a_norm_that_a_layer_begins_without_makes_the_stream_anew(before: bool) -> None:
    trace = traced(OPTForCausalLM, OPTConfig(**OPT, do_layer_norm_before=before, word_embed_proj_dim=32))
    layer = "model.decoder.layers.1"
    added = trace[f"{layer}:input"] + trace[f"{layer}.self_attn"]
    stream = trace[f"{layer}:attn_residual"]
    np.testing.assert_array_equal(stream, added if before else trace[f"{layer}.self_attn_layer_norm"])
    fc2 = trace[f"{layer}.fc2"].reshape(stream.shape)
    behind = trace[layer] if before else trace[f"{layer}.final_layer_norm:input"]
    np.testing.assert_allclose(stream + fc2, behind, rtol=1e-6, atol=1e-6)


def test_the_norm_behind_attention_is_the_streams_in_models_that_normalise_sums() -> None:
    trace = traced(OpenAIGPTLMHeadModel, OpenAIGPTConfig(**GPT))
    np.testing.assert_array_equal(trace["transformer.h.0:attn_residual"], trace["transformer.h.0.ln_1"])


def test_a_factor_that_is_the_layers_own_parameter_may_scale_the_stream() -> None:
    config = DogeConfig(**SIZES)
    model = seeded(DogeForCausalLM, config)
    trace = tracetui.trace(model, input_ids=ROWS)
    factor = model.model.layers[0].input_residual.detach().numpy()  # [D]
    after = factor * trace["model.layers.0:input"] + trace["model.layers.0.self_attn"]
    np.testing.assert_allclose(trace["model.layers.0:attn_residual"], after, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("model_class", "config"),
    [(CohereForCausalLM, CohereConfig(**SIZES)), (GPTNeoXForCausalLM, GPTNeoXConfig(**NEOX))],
    ids=["cohere", "gpt_neox"],
)
def test_layers_that_add_both_at_once_have_no_stream_between(model_class: Any, config: Any) -> None:
    trace = traced(model_class, config)
    assert not [record for record in trace.records if record.role == "attn_residual"]
    assert [point.label for point in trace.residual()] == ["embed", "0", "1"]


def test_the_stream_is_found_though_an_edit_leaves_nothing_of_attention() -> None:
    trace = tracetui.trace(tiny_llama(), input_ids=ROWS, edits="layers.0.self_attn: zero")
    np.testing.assert_array_equal(trace["model.layers.0:attn_residual"], trace["model.layers.0:input"])


def test_the_stream_is_found_where_it_is_no_number() -> None:
    model = tiny_llama()
    torch.nn.init.constant_(model.model.layers[0].self_attn.o_proj.weight, float("nan"))
    trace = tracetui.trace(model, input_ids=ROWS)
    assert np.isnan(trace["model.layers.0:attn_residual"]).all()
