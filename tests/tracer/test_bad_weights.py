"""Whether the weights of a module that makes a NaN hold it themselves."""

from __future__ import annotations

import torch
from torch import nn

import tracetui
from tests.tracer.recipes import recipe
from tracetui.analysis.health import diagnose
from tracetui.expr.edit import parse_edits
from tracetui.trace.trace import Trace
from tracetui.tracer.run import trace_recipe
from tracetui.views.health_lines import health_lines


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.second(self.first(x).relu()))


def told(trace: Trace, key: str) -> str:
    record = trace.find(key)
    assert record is not None
    return " ".join(line.text for line in health_lines(trace, diagnose(trace, record), 400))


def traced(model: nn.Module, x: torch.Tensor) -> Trace:
    return tracetui.trace(model, x).recorded


def test_a_weight_that_is_not_a_number_is_named_with_its_place() -> None:
    model = Net()
    with torch.no_grad():
        model.second.weight[1, 4] = float("nan")
    trace = traced(model, torch.ones(2, 4))
    assert "its own weights have NaN or infinities in them" in told(trace, "second")
    assert "weights: second.weight: 1 of 18 are NaN or infinite, the first at [1, 4]" in trace.run.notes
    found = trace.find("first")
    assert found is not None
    assert found.provenance == ""


def test_arithmetic_that_overflows_leaves_the_weights_alone() -> None:
    model = Net()
    with torch.no_grad():
        model.second.weight.fill_(3e38)
        model.first.bias.fill_(3e38)
    trace = traced(model, torch.ones(2, 4))
    assert "its own weights or arithmetic made it" in told(trace, "second")
    assert not any(note.startswith("weights:") for note in trace.run.notes)


def test_of_an_edited_record_the_edit_is_named() -> None:
    trace = trace_recipe(recipe(edits=parse_edits(["layers.0.mlp: set nan"], "")))
    assert "an edit was made here" in told(trace, "model.layers.0.mlp")
