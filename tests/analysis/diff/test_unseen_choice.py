"""Dumps without the experts chosen: no fault is told where every token that differs may have chosen others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM

from tests.analysis.diff.made import trace_of
from tests.truth.right.pairs import dumped
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.tracer.call import record_call
from tracetui.views.diff.report import verdict

IDS = torch.arange(3, 19)[None]
_TINY = 2e-6
"""By how much, relative, one expert's row of the router is above another's."""


@cache
def model() -> Any:
    """A mixture whose second router chooses between experts 0 and 1 by a hair, where it takes one of them."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = MixtralConfig(**sizes, vocab_size=64, num_hidden_layers=2, num_local_experts=8, num_experts_per_tok=1)
    made = MixtralForCausalLM(config).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    gate = made.model.layers[1].mlp.gate.weight
    with torch.no_grad():
        gate[0] *= 3
        gate[1] = gate[0] * (1 + _TINY)
    return made


@cache
def reference() -> Trace:
    return record_call(model(), input_ids=IDS, use_cache=False)


def _beside(change: Callable[[Any], None]) -> Report:
    other = copy.deepcopy(model())
    with torch.no_grad():
        change(other.model.layers[1].mlp)
    arrays: dict[str, Array] = dumped(other, IDS)
    return report(trace_of(arrays, dump=True), reference())


def _flipped(mlp: Any) -> None:
    mlp.gate.weight[[0, 1]] = mlp.gate.weight[[1, 0]]


def test_tokens_that_may_have_chosen_others_blame_no_expert() -> None:
    found = _beside(_flipped)
    assert found.first is not None
    assert found.first.site == "model.layers.1.mlp.experts"
    assert not found.at_fault
    assert not found.hints
    assert "the choice of experts was recorded in B only" in verdict(found)


def test_one_token_that_has_no_other_choice_is_a_fault() -> None:
    def scaled(mlp: Any) -> None:
        _flipped(mlp)
        mlp.experts.down_proj[2:] *= 1.2

    found = _beside(scaled)
    assert found.first is not None
    assert found.first.site == "model.layers.1.mlp.experts"
    assert found.at_fault


def test_without_a_flip_it_is_the_same() -> None:
    assert _beside(lambda mlp: None).comparison.same
