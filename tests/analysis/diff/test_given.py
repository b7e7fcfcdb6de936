"""A module that works as it should, and is given another tensor, is not blamed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.given import Given
from tracetui.analysis.diff.hints.activation import FUNCTIONS
from tracetui.analysis.diff.report import Report, report
from tracetui.analysis.diff.weights import weight_differences
from tracetui.recording.trace import Trace
from tracetui.recording.weight_prints import WeightPrint
from tracetui.tracer.call import record_call
from tracetui.views.diff.report import diff_lines, verdict

IDS = torch.tensor([[3, 1, 4, 1, 5]])


class Layer(nn.Module):
    """A block, in somebody's port behind one norm too many."""

    def __init__(self, normed: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.up_proj, self.down_proj = nn.Linear(8, 12), nn.Linear(12, 8)
        if normed:
            self.norm = nn.LayerNorm(8)
        self.normed, self.forgets = normed, False

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        given = self.norm(hidden) if self.normed else hidden
        added: torch.Tensor = hidden + self.down_proj(self.up_proj(hidden if self.forgets else given))
        return added


class Decoder(nn.Module):
    def __init__(self, normed: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(9, 8)
        self.layers = nn.ModuleList([Layer(normed), Layer(normed)])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.embed(ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


@pytest.fixture(scope="module")
def right() -> Trace:
    return record_call(Decoder(normed=False), IDS)


@pytest.fixture(scope="module")
def wrong() -> Trace:
    return record_call(Decoder(normed=True), IDS)


def _dumped(trace: Trace) -> Trace:
    """What hooks would have kept of it."""
    return trace_of({each.key: trace[each.key] for each in trace.records if not each.role}, dump=True)


def _told(found: Report) -> str:
    return " ".join(" ".join(diff_lines(found, ("a", "b"))).split())


def test_both_tensors_are_named_where_a_module_is_given_another_one(right: Trace, wrong: Trace) -> None:
    found = report(wrong, right)
    assert found.feeds is not None
    assert found.feeds.given == Given("layers.0.norm", "layers.0:input", sure=True)
    assert not found.at_fault
    assert verdict(found).endswith(
        "first at model.layers.0.up_proj, which A gives layers.0.norm, and B layers.0:input: the fault is in what "
        "calls it."
    )
    assert "A gives it layers.0.norm, B layers.0:input, which is another tensor: no fault of what" in _told(found)


def test_the_stream_given_in_place_of_its_norm_is_named(right: Trace, wrong: Trace) -> None:
    other = Decoder(normed=True)
    for layer in other.layers:
        assert isinstance(layer, Layer)
        layer.forgets = True
    found = report(record_call(other, IDS), wrong)
    assert found.feeds is not None
    assert found.feeds.given == Given("layers.0:input", "layers.0.norm", sure=True)


def test_a_dump_tells_no_more_than_what_comes_just_before(right: Trace, wrong: Trace) -> None:
    found = report(_dumped(wrong), right)
    assert found.feeds is not None
    assert found.feeds.given == Given("layers.0.norm", "layers.0:input", sure=False)
    assert not found.at_fault
    assert verdict(found).endswith("and A perhaps layers.0.norm: the fault is there, or in what calls it.")


def test_a_module_of_other_weights_is_given_the_same(right: Trace) -> None:
    other = Decoder(normed=False)
    with torch.no_grad():
        other.layers[0].get_submodule("up_proj").get_parameter("weight")[3] *= 2
    for a in (record_call(other, IDS), _dumped(record_call(other, IDS))):
        found = report(a, right)
        assert found.first is not None
        assert found.first.site == "model.layers.0.up_proj"
        assert found.feeds is not None
        assert found.feeds.given is None


def test_of_two_dumps_a_fault_without_a_pattern_may_lie_just_before() -> None:
    norm = {"model.layers.0.post_attention_layernorm": normal(1, 5, 8)}
    a, b = ({**norm, "model.layers.0.mlp.up_proj": normal(1, 5, 12, seed=seed)} for seed in (1, 2))
    found = report(trace_of(a, dump=True), trace_of(b, dump=True))
    assert verdict(found).endswith("whose inputs agree: the fault is there or just before.")


def test_what_no_table_knows_comes_before_the_layer_that_it_lies_in() -> None:
    arrays = {"model.layers.0": normal(1, 5, 8), "model.layers.0.norm": normal(1, 5, 8, seed=1)}
    a, b = trace_of(arrays, dump=True), trace_of({name: array * 2 for name, array in arrays.items()}, dump=True)
    found = report(a, b)
    assert found.first is not None
    assert found.first.site == "model.layers.0.norm"


def test_a_norm_of_queries_is_made_of_no_scores() -> None:
    """It is the same at the first token: so is what rotation has turned by nothing."""
    path = "model.layers.0.self_attn"
    before = {"model.layers.0.input_layernorm": normal(1, 6, 8)}
    turned = normal(1, 6, 8, seed=2)
    other = turned.copy()
    other[:, 1:] += normal(1, 5, 8, seed=3)
    b = trace_of({**before, f"{path}.q_proj": normal(1, 6, 8, seed=4), f"{path}.q_norm": turned})
    found = report(trace_of({**before, f"{path}.q_norm": other}, dump=True), b)
    assert found.first is not None
    assert found.first.site == f"{path}.q_norm"
    assert not found.hints


def _print(seed: float, *shape: int) -> WeightPrint:
    return WeightPrint(shape, "float32", "file", "", (seed, seed + 1))


def test_a_square_matrix_among_transposed_ones_may_lie_transposed() -> None:
    empty = trace_of({})
    names = [f"transformer.h.0.attn.{leaf}.weight" for leaf in ("c_attn", "c_proj")]
    a = replace(empty, weights={names[0]: _print(1, 24, 8), names[1]: _print(2, 8, 8)})
    transposed = replace(empty, weights={names[0]: _print(3, 8, 24), names[1]: _print(4, 8, 8)})
    straight = replace(empty, weights={names[0]: _print(1, 24, 8), names[1]: _print(4, 8, 8)})
    assert not weight_differences(a, transposed).pairs
    assert [pair.name for pair in weight_differences(a, straight).pairs] == [names[1]]


def test_a_norm_is_not_told_by_its_output_alone() -> None:
    """An embedding that isn't scaled changes it by what the epsilon makes of that."""
    hidden, place = normal(1, 5, 8), "model.layers.0.input_layernorm"
    a, b = (part / np.sqrt(np.square(part).mean(-1, keepdims=True) + 1e-2) for part in (hidden / 8, hidden))
    alone = report(trace_of({place: a}, dump=True), trace_of({place: b}, dump=True))
    assert alone.first is not None
    assert not alone.hints
    beside = {"model.layers.0:input": hidden}
    known = report(trace_of({**beside, place: a}, dump=True), trace_of({**beside, place: b}, dump=True))
    assert [hint.name for hint in known.hints] == ["norm-epsilon"]


def test_what_enters_the_last_matrix_tells_the_activation() -> None:
    path = "model.layers.0.mlp"
    gate, up = normal(1, 6, 12), normal(1, 6, 12, seed=1)
    before = {f"{path}.gate_proj": gate, f"{path}.up_proj": up}
    a, b = (FUNCTIONS[name](gate) * up for name in ("gelu (exact)", "gelu (tanh)"))
    found = report(
        trace_of({**before, f"{path}.down_proj:input": a}), trace_of({**before, f"{path}.down_proj:input": b})
    )
    assert [hint.title for hint in found.hints] == [
        "What enters down_proj is gelu (exact) of gate in A, gelu (tanh) of gate in B"
    ]
    other = report(
        trace_of({**before, f"{path}.down_proj:input": a * up}), trace_of({**before, f"{path}.down_proj:input": b})
    )
    assert not other.hints


def test_queries_scaled_by_their_position_are_not_called_a_window() -> None:
    """Neither side has one."""
    path = "model.layers.0.self_attn"
    projected = {f"{path}.{name}_proj": normal(1, 9, 8, seed=seed) for seed, name in enumerate("qkv")}
    b = normal(1, 9, 8, seed=4)
    a = b.copy()
    a[:, 3:] += normal(1, 6, 8, seed=5)
    config = {"attn_temperature_tuning": True}
    found = report(
        trace_of({**projected, f"{path}.o_proj": a}, dump=True),
        trace_of({**projected, f"{path}.o_proj": b}, config=config),
    )
    assert [hint.name for hint in found.hints] == ["window"]
    assert "or one side scales queries by their position (attn_temperature_tuning)" in found.hints[0].title
