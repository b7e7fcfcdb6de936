"""Faults within bfloat16's tolerance are told by what feeds them; rounding alone isn't."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import tracetui
from tracetui.api.trace import Trace

LAST = 3


@cache
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=LAST + 1,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.08,
    )
    return LlamaForCausalLM(config).eval()


def ids() -> torch.Tensor:
    return torch.randint(3, 64, (1, 24), generator=torch.Generator().manual_seed(0))


@cache
def reference() -> Trace:
    return tracetui.trace(model(), input_ids=ids())


def low() -> LlamaForCausalLM:
    return copy.deepcopy(model()).to(torch.bfloat16)


def test_a_run_in_bfloat16_is_the_same() -> None:
    diff = tracetui.diff(tracetui.trace(low(), input_ids=ids()), reference())
    assert diff.same, str(diff)


def test_a_row_that_is_7_percent_off_in_one_layer_is_told_there() -> None:
    port = low()

    def scaled(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(64, generator=torch.Generator().manual_seed(1)).sign()
        output = output.clone()
        output[:, 7] += 0.07 * output[:, 7].norm() * noise / noise.norm()
        return output

    port.model.layers[2].post_attention_layernorm.register_forward_hook(scaled)
    diff = tracetui.diff(tracetui.trace(port, input_ids=ids()), reference())
    assert diff.first is not None
    assert diff.first.site == "model.layers.2.post_attention_layernorm"
    assert diff.report.at_fault
    assert "times as far apart as its inputs" in " ".join(str(diff).split())


@pytest.mark.parametrize("layer", [0, LAST])
def test_an_epsilon_that_takes_2_percent_off_a_norm_is_told_there(layer: int) -> None:
    port, site = low(), f"model.layers.{layer}.post_attention_layernorm"
    norm = port.model.layers[layer].post_attention_layernorm
    norm.variance_epsilon = 0.045 * float((reference()[f"model.layers.{layer}:attn_residual"] ** 2).mean())
    diff = tracetui.diff(tracetui.trace(port, input_ids=ids()), reference())
    assert diff.first is not None
    assert diff.first.site == site
    assert diff.report.at_fault
    assert any(found.jump for found in diff.sites)


def test_a_tolerance_of_the_user_s_own_is_left_at_that() -> None:
    port = low()
    port.model.layers[0].post_attention_layernorm.variance_epsilon = 0.05
    assert tracetui.diff(tracetui.trace(port, input_ids=ids()), reference(), rtol=9, atol=9).same
