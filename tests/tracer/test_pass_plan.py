"""A pass of the same steps as an earlier one has its records made as those; any other is described step by step."""

from __future__ import annotations

import gc
import weakref
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn

from tests.tracer.models import tiny_llama
from tests.tracer.recipes import recipe
from tests.tracer.tiers import differences, recorded
from tracetui.expr.stop import DEFAULT_STOPS, Stop, parse_stop
from tracetui.recipe import Generation
from tracetui.recording.trace import RunInfo, Trace
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.capture.values import TorchValue
from tracetui.tracer.deferred.pass_plan import _PassPlan
from tracetui.tracer.edits import Editor
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recording_observer import RecordingObserver
from tracetui.tracer.run import trace_recipe


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each plan that was carried out made."""
    counts: list[int] = []
    carry_out = _PassPlan.carry_out

    def counted(self: _PassPlan, *about: Any) -> None:
        counts.append(len(self.records))
        carry_out(self, *about)

    monkeypatch.setattr(_PassPlan, "carry_out", counted)
    return counts


def check(model: nn.Module, inputs: dict[str, Any], stops: tuple[Stop, ...] = DEFAULT_STOPS) -> Trace:
    """What comes of a call that may be described later, which must be what is described at once."""
    later = recorded(model, inputs, True, stops)
    assert not list(differences(recorded(model, inputs, False, stops), later))
    return later[0]


def inputs(tokens: int = 9, rows: int = 1, seed: int = 0) -> dict[str, Any]:
    ids = torch.randint(0, 61, (rows, tokens), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids, "use_cache": False}


def test_the_next_call_of_the_same_kind_is_described_as_the_first(planned: list[int]) -> None:
    model = tiny_llama()
    check(model, inputs())
    assert not planned
    assert len(check(model, inputs(seed=1))) == planned[-1]
    assert len(planned) == 1


@pytest.mark.parametrize(
    "other",
    [inputs(tokens=1), inputs(rows=2), inputs() | {"attention_mask": torch.ones(1, 9, dtype=torch.long).tril()}],
)
def test_calls_of_other_shapes_or_arguments_are_described_by_themselves(
    other: dict[str, Any], planned: list[int]
) -> None:
    model = tiny_llama()
    check(model, inputs())
    check(model, other)
    assert not planned
    check(model, other)
    check(model, inputs())
    assert len(planned) == 2


def test_more_kinds_of_calls_than_are_kept_are_described_all_the_same() -> None:
    model = tiny_llama()
    for _ in range(2):
        for tokens in range(2, 8):
            check(model, inputs(tokens))


class Layer(nn.Module):
    """Adds what attention makes of the stream, or does something else with both."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(8), nn.Linear(8, 8)
        self.norm2, self.mlp = nn.LayerNorm(8), nn.Linear(8, 8)
        self.adds = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.attention(self.norm1(x))
        stream = x + made if self.adds else (x * made).sin()
        summed: torch.Tensor = stream + self.mlp(self.norm2(stream))
        return summed


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(), Layer()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_a_stream_that_is_no_sum_any_more_is_looked_for(planned: list[int]) -> None:
    torch.manual_seed(0)
    model = Stack().eval()
    x = {"x": torch.randn(1, 5, 8)}
    assert check(model, x).find("layers.1:attn_residual")
    check(model, x)
    assert len(planned) == 1
    second: Any = model.layers[1]
    second.adds = False
    assert check(model, x).find("layers.1:attn_residual") is None
    assert len(planned) == 1
    second.adds = True
    assert check(model, x).find("layers.1:attn_residual")
    assert len(planned) == 2


def test_what_is_not_finite_is_told_where_it_begins(planned: list[int]) -> None:
    model = tiny_llama()
    check(model, inputs())
    model.model.layers[1].mlp.up_proj.weight.data[3, 1] = float("nan")
    trace = check(model, inputs())
    assert trace.bad_weights["model.layers.1.mlp.up_proj"]
    assert not planned
    model.model.layers[1].mlp.up_proj.weight.data[3, 1] = 0
    check(model, inputs())
    assert len(planned) == 1


def test_a_stop_with_a_condition_is_looked_at_in_every_call(planned: list[int]) -> None:
    model = tiny_llama()
    for _ in range(2):
        check(model, inputs(), (*DEFAULT_STOPS, parse_stop("*.mlp if norm > 0")))
        check(model, inputs(), (*DEFAULT_STOPS, parse_stop("*.mlp if norm > 1e9")))
    assert all(planned)


class Shares(nn.Module):
    """Returns what it is given again, now and then a view or a copy of it, and may leave a module out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.same = nn.Linear(4, 4), nn.Linear(4, 4), nn.Identity()

    def forward(self, x: torch.Tensor, way: str) -> torch.Tensor:
        hidden: torch.Tensor = self.first(x)
        match way:
            case "view":
                hidden = hidden.view_as(hidden)
            case "copy":
                hidden = hidden.clone()
            case "part":
                hidden = hidden[:1]
            case "written":
                hidden.add_(1)
            case "integer":
                hidden = hidden.long()
            case "twice":
                self.first(hidden)
        return hidden if way == "left out" else self.same(self.second(self.same(hidden.float())))


@pytest.mark.parametrize("before", ["", "view"])
def test_who_made_what_a_module_is_given_is_told_of_each_call(before: str) -> None:
    model = Shares()
    for _ in range(2):
        for way in ("", "view", "copy", "part", "written", "integer", "twice", "left out"):
            check(model, {"x": torch.ones(2, 4), "way": before})
            check(model, {"x": torch.ones(2, 4), "way": way})


class Doubles(nn.Module):
    """A second tensor is given by name or not, and is whatever its caller has."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.outer = Inner()

    def forward(self, x: torch.Tensor, second: Any = None) -> torch.Tensor:
        made: torch.Tensor = self.outer(x, second=self.inner(x) if second == "own" else second)
        return made


class Inner(nn.Module):
    def forward(self, x: torch.Tensor, second: Any = None) -> torch.Tensor:
        return x + 1 if not isinstance(second, torch.Tensor) else x + second


def test_what_is_given_by_name_is_told_of_each_call() -> None:
    model = Doubles()
    x = torch.ones(2, 4)
    for _ in range(2):
        for second in (None, x, "own", torch.ones(1, dtype=torch.long), torch.zeros(2, 4), [x, x]):
            check(model, {"x": x, "second": second})


def test_a_second_call_in_one_watch_knows_what_the_first_recorded(planned: list[int]) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval()

    def watched(later: bool) -> Trace:
        gate = Gate(waits=False)
        recorder = Recorder(RunInfo(), (), gate.arrived)
        gate.begin(recorder.trace)
        kept = RecordingObserver.may_defer
        deferred = patch.object(RecordingObserver, "may_defer", lambda *about: later and kept(*about))
        with deferred, torch.no_grad(), ModelHooks(model, Pass(recorder, Editor(recorder), gate)):
            x = torch.ones(2, 4)
            made = model(x)
            recorder.settle()
            model(made)
            recorder.settle()
            recorder.begin_pass()
            model(model(x))
        return recorder.finished()

    watched(later=True)
    later = watched(later=True)
    assert planned
    assert not list(differences((watched(later=False), []), (later, [])))


def test_each_generated_token_is_described_as_the_one_before(
    monkeypatch: pytest.MonkeyPatch, planned: list[int]
) -> None:
    made = recipe(generation=Generation(6, stop=()))
    later = trace_recipe(made, ids=(5, 8, 299, 3))
    # The prompt's pass is one of a kind, and so is the first of one token: of it several had told where the stream is.
    assert len(planned) >= 3
    monkeypatch.setattr(RecordingObserver, "may_defer", lambda *about: False)
    at_once = trace_recipe(made, ids=(5, 8, 299, 3))
    assert not list(differences((at_once, []), (later, [])))
    seconds = [record.seconds for record in later.records if record.seconds is not None]
    assert min(seconds) >= 0


def test_time_is_told_of_each_call() -> None:
    model = tiny_llama()
    traces = [recorded(model, inputs(), later=True)[0] for _ in range(3)]
    for trace in traces:
        parts = sum(record.seconds or 0 for record in trace.records if record.parent == "model.layers.0.mlp")
        mlp = trace.find("model.layers.0.mlp")
        assert mlp is not None
        assert 0 < parts <= (mlp.seconds or 0)
    assert len({trace.records[5].seconds for trace in traces}) > 1


def test_a_plan_keeps_no_tensor_alive() -> None:
    model = tiny_llama()
    traces = [recorded(model, inputs(), later=True)[0] for _ in range(3)]
    kept = [weakref.ref(value.captured) for trace in traces for value in trace.values if isinstance(value, TorchValue)]
    assert len(kept) > 90
    del traces
    gc.collect()
    assert not [each for each in kept if each() is not None]
