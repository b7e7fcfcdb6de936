"""Right pairs of a deep model with massive activations are the same in every dtype; faults beside them are told."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import tracetui
from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.compare import compare
from tracetui.api.trace import Trace

LAYERS, SINK = 8, 2


@cache
def model() -> tuple[LlamaForCausalLM, torch.Tensor]:
    """One channel of a down_proj is scaled until a token has 22,500 there."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": LAYERS}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, initializer_range=0.08)
    made, ids = LlamaForCausalLM(config).eval(), torch.randint(3, 64, (1, 24))
    rows: list[torch.Tensor] = []
    projection = made.model.layers[SINK].mlp.down_proj
    hook = projection.register_forward_hook(lambda module, args, output: rows.append(output.detach()))
    with torch.no_grad():
        made(ids)
        projection.weight[7] *= 22_500 / rows[0][0, :, 7].abs().max()
    hook.remove()
    return made, ids


def run(dtype: torch.dtype = torch.float32, kernel: str = "sdpa") -> Trace:
    made, ids = model()
    other = copy.deepcopy(made).to(dtype)
    other.config._attn_implementation = kernel
    return tracetui.trace(other, input_ids=ids)


@cache
def reference() -> Trace:
    return run()


@pytest.mark.parametrize(
    ("dtype", "kernel"),
    [(torch.bfloat16, "sdpa"), (torch.float16, "sdpa"), (torch.float64, "sdpa"), (torch.float32, "eager")],
)
def test_a_right_pair_is_the_same(dtype: torch.dtype, kernel: str) -> None:
    found = tracetui.diff(run(dtype, kernel), reference())
    assert found.same, str(found)


def test_tokens_that_are_off_beside_it_are_not() -> None:
    right = {record.key: reference()[record.key] for record in reference().records}
    site = f"model.layers.{SINK + 1}"
    wrong = {**right, site: right[site].copy()}
    wrong[site][:, 5:] *= 1.2
    assert not tracetui.diff(wrong, right).same


def test_a_small_input_within_a_layer_excuses_nothing_after_it() -> None:
    tokens, layers = 12, 3
    right = {"model.layers.0:input": normal(1, tokens, 16, seed=1)}
    for layer in range(layers):
        right[f"model.layers.{layer}.mlp.down_proj:input"] = 1e-4 * normal(1, tokens, 24, seed=10 + layer)
        right[f"model.layers.{layer}.mlp.down_proj"] = normal(1, tokens, 16, seed=20 + layer)
        right[f"model.layers.{layer}"] = 50 * normal(1, tokens, 16, seed=30 + layer)
    ids = [range(3, 3 + tokens)]
    site = "model.layers.2.mlp.down_proj"
    for factor, same in ((1.0, True), (1.001, False)):
        wrong = {**right, site: right[site] * np.float32(factor)}
        different = compare(trace_of(wrong, ids), trace_of(right, ids)).different
        assert [found.site for found in different] == ([] if same else [site])
