"""What a module's own code makes between the modules that it calls is never put down to one of them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_call
from tracetui.views.diff.report import diff_lines, verdict

IDS = torch.tensor([[3, 1, 4, 1, 5]])


class Mixer(nn.Module):
    """A gated scan, as linear attention has one, written out in its own forward."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj = nn.Linear(8, 8)
        self.gate_proj = nn.Linear(8, 8)
        self.conv1d = nn.Conv1d(8, 8, 2, groups=8)
        self.decay = nn.Parameter(torch.linspace(0.1, 0.9, 8))
        self.norm = nn.LayerNorm(8)
        self.out_proj = nn.Linear(8, 8)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        values = self.in_proj(hidden)  # [B,T,D]
        mixed = torch.conv1d(nn.functional.pad(values.mT, (1, 0)), self.conv1d.weight, groups=8).mT  # [B,T,D]
        states = (mixed * self.decay).cumsum(1)  # [B,T,D]
        gate = self.gate_proj(hidden).sigmoid()  # [B,T,D]
        mixed_in: torch.Tensor = self.out_proj(self.norm(states) * gate)  # [B,T,D]
        return mixed_in


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(9, 8)
        self.layers = nn.ModuleList([Mixer(), Mixer()])
        self.head = nn.Linear(8, 9)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.embed(ids)  # [B,T,D]
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        logits: torch.Tensor = self.head(hidden)
        return logits


@pytest.fixture(scope="module")
def right() -> Decoder:
    return Decoder()


def _changed(right: Decoder, change: Callable[[Mixer], None]) -> Trace:
    wrong = copy.deepcopy(right)
    layer = wrong.layers[1]
    assert isinstance(layer, Mixer)
    with torch.no_grad():
        change(layer)
    return record_call(wrong, IDS)


def _decay(layer: Mixer) -> None:
    layer.decay.mul_(0.5)


def _conv(layer: Mixer) -> None:
    layer.conv1d.weight.neg_()


def _norm(layer: Mixer) -> None:
    layer.norm.weight.mul_(2)


def _out(layer: Mixer) -> None:
    layer.out_proj.weight.copy_(layer.out_proj.weight.T.clone())


def _told(found: Report) -> str:
    return " ".join(" ".join(diff_lines(found, ("a", "b"))).split())


@pytest.mark.parametrize("change", [_decay, _conv])
def test_a_scan_is_not_put_down_to_the_norm_behind_it(right: Decoder, change: Callable[[Mixer], None]) -> None:
    found = report(_changed(right, change), record_call(right, IDS))
    assert found.first is not None
    assert found.first.site == "model.layers.1.norm:input"
    assert verdict(found).endswith("made in model.layers.1's own code, between in_proj, gate_proj and norm.")
    assert "that code alone reads decay, conv1d.weight, conv1d.bias" in _told(found)


@pytest.mark.parametrize(("change", "site"), [(_norm, "model.layers.1.norm"), (_out, "model.layers.1.out_proj")])
def test_a_module_with_a_fault_of_its_own_is_named(right: Decoder, change: Callable[[Mixer], None], site: str) -> None:
    found = report(_changed(right, change), record_call(right, IDS))
    assert found.first is not None
    assert found.first.site == site
    assert verdict(found).endswith("whose inputs agree: the fault is there.")


def test_without_a_fault_they_are_the_same(right: Decoder) -> None:
    assert report(record_call(right, IDS), record_call(right, IDS)).comparison.same


def test_of_a_script_that_recorded_outputs_alone_either_may_be_at_fault(right: Decoder) -> None:
    wrong = _changed(right, _decay)
    outputs = {record.key: wrong.value(record).read() for record in wrong.records if not record.role}
    found = report(trace_of(outputs, dump=True), record_call(right, IDS))
    assert found.first is not None
    assert found.first.site == "model.layers.1.norm"
    assert verdict(found).endswith("made between in_proj, gate_proj and norm: in model.layers.1's own code or at norm.")
    assert "in B only: layers.1.norm:input. Record it in A too" in _told(found)
    assert not found.hints, "the norm may have been given something else"


def test_what_one_side_alone_recorded_outside_a_module_may_have_been_given_to_it() -> None:
    """A router's choice goes into its experts: these are not all that may be at fault where it was not kept."""
    inputs = {"model.layers.0.post_attention_layernorm": normal(4, 8), "model.layers.0.mlp.gate": normal(4, 3)}
    chosen = {"model.layers.0.mlp.gate#1": normal(4, 2), "model.layers.0.mlp.gate#2": normal(4, 2, seed=2)}
    site = "model.layers.0.mlp.experts"
    made = {f"{site}.0": normal(2, 8, seed=3), site: normal(4, 8, seed=4)}
    found = report(trace_of({**inputs, site: normal(4, 8, seed=5)}, dump=True), trace_of({**inputs, **chosen, **made}))
    assert found.first is not None
    assert found.first.site == site
    text = " ".join(" ".join(diff_lines(found, ("a", "b"))).split())
    assert "own code or by what it calls" not in text
    assert f"{site}'s own code" not in text


def test_what_a_hook_puts_in_a_modules_way_is_not_put_down_to_the_module(right: Decoder) -> None:
    """A hook of the user's own changes what a projection is given: that works as it should."""
    hooked = copy.deepcopy(right)
    layer = hooked.layers[1]
    assert isinstance(layer, Mixer)
    layer.in_proj.register_forward_pre_hook(lambda module, given: (given[0] * 1.5,))
    found = report(record_call(hooked, IDS), record_call(right, IDS))
    assert verdict(found).endswith("made between :input and in_proj: in model.layers.1's own code or at in_proj.")
    assert "in A only: layers.1.in_proj:input" in _told(found)
