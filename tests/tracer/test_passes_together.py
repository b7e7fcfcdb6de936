"""Passes that are described together, where nobody waits for them, are the same trace as passes described at once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn

from tests.tracer.recipes import recipe
from tests.tracer.tiers import Recording, differences
from tracetui.debugger.session import Event, Fired, Started, Tallied, until_end
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import DEFAULT_STOPS
from tracetui.models.weights.streaming import Weights
from tracetui.recipe import Generation, Prompts
from tracetui.recording.trace import Trace
from tracetui.tracer.capture.values import TorchValue
from tracetui.tracer.deferred.pass_log import PassLog
from tracetui.tracer.deferred.pass_plan import _PassPlan
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.recording_observer import RecordingObserver

_PROMPTS = Prompts(ids=((5, 8, 299, 3),))


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, nobody is told in the midst of a pass how far the model is."""
    monkeypatch.setattr("tracetui.tracer.deferred.pass_log._PATIENCE", 1000)


class Spills(nn.Module):
    """An activation beside which something isn't finite in its fourth call, and goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.aside, self.calls = nn.SiLU(), nn.Identity(), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.aside(x * torch.nan if self.calls == 4 else x)
        made: torch.Tensor = self.inner(x)
        return made


class Interrupts(Spills):
    """The same, left by the user there."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().forward(x)


@contextmanager
def described(later: bool) -> Iterator[None]:
    kept = RecordingObserver.may_defer
    with patch.object(RecordingObserver, "may_defer", lambda *about: later and kept(*about)):
        yield


def engine(activation: nn.Module | None = None, config: dict[str, Any] | None = None, **options: Any) -> Engine:
    made = Engine(recipe(generation=Generation(7, stop=()), config=config or {}), **options)
    if activation is not None:
        made.runnable.built.module.model.layers[1].mlp.act_fn = activation
    return made


def run(made: Engine, later: bool) -> Recording:
    """What an engine's run leaves, with what its listener was told."""
    told: list[object] = []

    def hear(event: Event) -> None:
        if isinstance(event, Fired):
            told.extend((hit.stop.text, hit.index, hit.told) for hit in event.hits)
        elif isinstance(event, Tallied):
            told.append(event)

    made._emit = hear
    with described(later):
        trace = made.run(_PROMPTS, Gate(until_end, hear, stops=DEFAULT_STOPS, waits=False, edits=EditLog()))
    assert len(trace) > 100
    return trace, told


def both_ways(activation: type[nn.Module] | None = None) -> Recording:
    at_once, later = (run(engine(activation() if activation else None), each) for each in (False, True))
    assert not list(differences(at_once, later))
    assert (at_once[0].cache, at_once[0].generated) == (later[0].cache, later[0].generated)
    return later


@pytest.mark.parametrize(("together", "patience"), [(1, 100), (3, 100), (32, 100), (3, 0)])
def test_however_many_passes_wait_for_each_other_the_trace_is_the_same(
    together: int, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracetui.tracer.deferred.pass_log._MOST_OVER", together)
    monkeypatch.setattr("tracetui.tracer.deferred.pass_log._PATIENCE", patience)
    monkeypatch.setattr("tracetui.tracer.gate.NOTICE_SECONDS", patience)
    both_ways()


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gemma2", "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4},
        {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    ],
    ids=lambda config: config["model_type"],
)
def test_windows_and_experts_are_told_of_each_pass(config: dict[str, Any]) -> None:
    at_once, later = (run(engine(config=config), each) for each in (False, True))
    assert not list(differences(at_once, later))


def test_what_is_not_finite_and_goes_nowhere_is_told_of_its_own_pass() -> None:
    trace, told = both_ways(Spills)
    assert trace.records[told[0][1]].key == "model.layers.1.mlp.act_fn.aside:input@3"  # type: ignore[index]


def test_a_weight_that_spoils_a_later_pass_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()
    chosen = run(made, later=True)[0].tokens[0][6].id
    rows = Weights.lend_rows

    def spoilt(self: Weights, name: str, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        table, places = rows(self, name, ids)
        if ids.flatten().tolist() == [chosen]:
            table[0, 5] = torch.nan
        return table, places

    monkeypatch.setattr(Weights, "lend_rows", spoilt)
    at_once, later = run(engine(), later=False), run(engine(), later=True)
    assert not list(differences(at_once, later))
    assert later[0].bad_weights["model.embed_tokens"][0].first == (chosen, 5)
    assert later[0].find("model.embed_tokens@3").provenance.endswith("nan")  # type: ignore[union-attr]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The passes whose records a plan has written down."""
    passes: list[int] = []
    write = _PassPlan._write

    def counted(self: _PassPlan, *about: Any) -> None:
        passes.append(about[2])
        write(self, *about)

    monkeypatch.setattr(_PassPlan, "_write", counted)
    return passes


def test_records_are_written_down_when_somebody_looks(written: list[int]) -> None:
    made = engine()
    trace = made.run(_PROMPTS, Gate(stops=DEFAULT_STOPS, waits=False))
    assert not written
    made.close()
    assert trace.records[-1].pass_ == 6
    assert written == [2, 3, 4, 5, 6]


def test_what_a_run_left_before_its_end_had_recorded_is_kept() -> None:
    traces = []
    for later in (False, True):
        events: list[Event] = []
        made = engine(Interrupts(), emit=events.append)
        with described(later), pytest.raises(KeyboardInterrupt):
            made.run(_PROMPTS, Gate(until_end, events.append, stops=DEFAULT_STOPS, waits=False))
        traces.append(next(event.trace for event in events if isinstance(event, Started)).closed())
    assert traces[1].records[-1].pass_ == 3
    assert not list(differences((traces[0], []), (traces[1], [])))


def test_a_run_can_be_taken_up_again_that_nobody_has_looked_into() -> None:
    made = engine()
    first = made.run(_PROMPTS, Gate(stops=DEFAULT_STOPS, waits=False))
    assert first.records[40].pass_ == 0
    again = made.run(_PROMPTS, Gate(stops=DEFAULT_STOPS, waits=False))
    rerun = made.rerun(300, Gate(stops=DEFAULT_STOPS, waits=False))
    assert [record.key for record in rerun.records] == [record.key for record in again.records]


def test_what_a_run_held_is_freed_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[weakref.ref[torch.Tensor]] = []
    describe = PassLog._describe_present

    def counted(self: PassLog) -> None:
        kept.extend(map(weakref.ref, self.snapshots.captured))
        describe(self)

    monkeypatch.setattr(PassLog, "_describe_present", counted)
    made = engine()
    trace: Trace | None = made.run(_PROMPTS, Gate(stops=DEFAULT_STOPS, waits=False))
    made.close()
    gc.collect()
    assert len([each for each in kept if each() is not None]) > 200
    del trace
    gc.collect()
    assert not [each for each in kept if each() is not None]


def test_values_know_that_they_are_finite() -> None:
    trace, _ = run(engine(), later=True)
    assert all(value.finite for value in trace.values if isinstance(value, TorchValue))


def test_runs_follow_the_plans_of_the_first_whose_weights_stood_in_the_model(written: list[int]) -> None:
    made = engine()
    recordings = [run(made, later=True) for _ in range(3)]
    assert written == [*range(2, 7), *range(2, 7), *range(7)]
    assert not [each for again in recordings[1:] for each in differences(recordings[0], again)]
    assert all(record.provenance for record in recordings[2][0].records if record.site.endswith("_proj"))
