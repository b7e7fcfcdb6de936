"""An error in the model's own code: found in its module, its inputs recorded, everything in order afterwards."""

from __future__ import annotations

from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tracetui
from tests.hooks_left import hooks_left
from tests.tracer.recipes import recipe
from tracetui.debugger.fault import ModelError
from tracetui.debugger.session import Event, Failed, Finished, Sourced, until_end
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.trace import RunInfo
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.engine import Engine
from tracetui.tracer.fault import fault_of, raised_at
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.live import LiveSession


class Inner(nn.Module):
    """Fails on its second call, below a helper of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.calls = 0
        self.error = error

    def forward(self, x: torch.Tensor, pair: tuple[torch.Tensor, ...], *, scale: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self._work(x, pair) * scale

    def _work(self, x: torch.Tensor, pair: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if self.calls == 2:
            x = x * 2
            raise self.error
        return x + pair[0]


class Outer(nn.Module):
    def __init__(self, error: Exception, catches: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.inner = Inner(error)
        self.last = nn.Linear(4, 4)
        self.catches = catches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pair = (torch.ones(4), torch.zeros(2, 4))
        for _ in range(2):
            x = self.first(x)
            try:
                x = self.inner(x, pair, scale=torch.tensor(2.0))
            except KeyError:
                if not self.catches:
                    raise
        made: torch.Tensor = self.last(x)
        return made


@pytest.mark.parametrize("error", [KeyError("a [key]\n\x1b[2J"), RuntimeError("not enough memory"), MemoryError()])
def test_the_failing_module_its_inputs_and_its_line_are_found(error: Exception) -> None:
    model, x = Outer(error), torch.randn(3, 4)
    recorder = Recorder(RunInfo(), (), Gate().arrived)
    with torch.no_grad(), ModelHooks(model, Pass(recorder, Editor(recorder))) as watch:
        with pytest.raises(type(error)):
            model(x)
        lines = raised_at(model, watch.running, error)
        found = fault_of(model, watch.running, recorder, error)
    assert hooks_left(model) == 0
    assert (found.path, found.kind) == ("inner", "Inner")
    assert found.error.startswith(type(error).__name__)
    assert "\x1b" not in found.error
    assert "\n" not in found.error
    assert found.inputs == ("x float32 [3, 4]", "pair[0] float32 [4]", "pair[1] float32 [2, 4]", "scale float32 []")
    trace = recorder.failed("it failed")
    assert not trace.complete
    assert trace.run.notes == ("it failed",)
    keys = [record.key for record in trace.records]
    made = ["inner:input@0.1", "inner:input#1@0.1", "inner:input#2@0.1", "inner:input#3@0.1"]
    assert keys == ["first", "inner", "first@0.1", *made]
    assert trace.records[found.at].key == made[0]
    # What it was given, not what the name stood for when it failed.
    np.testing.assert_array_equal(trace[made[0]], trace["first@0.1"])
    assert found.through == (
        f"the model: test_fault.py:{Outer.forward.__code__.co_firstlineno + 5}",
        f"inner: test_fault.py:{Inner._work.__code__.co_firstlineno + 3}",
    )
    file, line = lines["inner"][-1]
    assert (Path(file), line) == (Path(__file__), Inner._work.__code__.co_firstlineno + 3)
    assert lines[""][-1][1] == Outer.forward.__code__.co_firstlineno + 5


def test_an_error_that_the_model_catches_leaves_the_records_where_they_belong() -> None:
    recorder = Recorder(RunInfo(), (), Gate().arrived)
    model = Outer(KeyError("x"), catches=True)
    with torch.no_grad(), ModelHooks(model, Pass(recorder, Editor(recorder))):
        model(torch.randn(3, 4))
    found = [(record.key, record.depth) for record in recorder.finished().records]
    assert [key for key, _ in found] == ["first", "inner", "first@0.1", "last", "output"]
    assert found[-1] == ("output", 0)


def break_mlp(model: nn.Module) -> Any:
    """Give the second layer's down_proj another one's shape; returns what puts it right."""
    found = model.get_submodule("model.layers.1.mlp")
    whole = found.down_proj
    found.down_proj = nn.Linear(5, 32, bias=False)
    return lambda: setattr(found, "down_proj", whole)


def test_a_recipes_model_fails_in_the_middle_and_runs_again_once_it_is_whole(tmp_path: Path) -> None:
    engine = Engine(recipe(memory=0))
    reference = engine.run(recipe().prompts, Gate())
    module = engine.runnable.built.module
    mend = break_mlp(module)
    with pytest.raises(ModelError) as raised:
        engine.run(recipe().prompts, Gate())
    fault, trace = raised.value.fault, raised.value.trace
    assert (fault.path, fault.kind) == ("model.layers.1.mlp.down_proj", "Linear")
    assert "shapes cannot be multiplied" in fault.error
    assert "shapes cannot be multiplied" in trace.run.notes[-1]
    assert trace.records[-1].key == "model.layers.1.mlp.down_proj:input"
    for record in trace.records[:-1]:
        np.testing.assert_array_equal(trace[record.key], reference[record.key], err_msg=record.key)
    write_trace(trace, tmp_path / "t.npz")
    assert read_trace(tmp_path / "t.npz").records == trace.records
    assert hooks_left(module) == 0
    assert all(slot.look(owner) is slot.placeholder for owner, slot in engine.runnable.weights.all_slots())
    mend()
    np.testing.assert_array_equal(engine.run(recipe().prompts, Gate())["logits"], reference["logits"])


def heard(events: Queue[Event], kind: type[Any]) -> Any:
    while not isinstance(event := events.get(timeout=30), kind):
        pass
    return event


def test_a_live_run_that_fails_shows_the_line_and_the_next_one_starts_afresh() -> None:
    events: Queue[Event] = Queue()
    session = LiveSession(recipe(), events.put)
    session.start(recipe().prompts, until_end)
    reference = heard(events, Finished).trace
    assert session._engine is not None
    mend = break_mlp(session._engine.runnable.built.module)
    session.start(recipe().prompts, until_end)
    failed: Failed = heard(events, Failed)
    assert failed.fault.at == len(failed.trace) - 1
    assert "down_proj" in failed.error
    assert Path(failed.log).read_text().rstrip().endswith(failed.fault.error.partition(": ")[2])
    session.source(failed.trace.records[failed.fault.at].site)
    source: Sourced = heard(events, Sourced)
    assert (source.kind, source.says, source.lines[source.at].strip()) == (
        "LlamaMLP",
        "calls what failed, model.layers.1.mlp.down_proj",
        "down_proj = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))",
    )
    session.source("model.layers.1.mlp.up_proj")
    assert heard(events, Sourced).says == "the statement that calls up_proj"
    mend()
    session.start(recipe().prompts, until_end)
    np.testing.assert_array_equal(heard(events, Finished).trace["logits"], reference["logits"])
    session.source("model.layers.1.mlp.down_proj")
    assert heard(events, Sourced).says == "the statement that calls down_proj"
    assert session.close(20)


class Mute(BaseException):
    """Neither an Exception nor able to say anything."""

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [Mute(), SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_live_model_raises_is_a_fault_of_its_module_and_the_session_lives(error: BaseException) -> None:
    events: Queue[Event] = Queue()
    session = LiveSession(recipe(), events.put)
    session.start(recipe().prompts, until_end)
    reference = heard(events, Finished).trace
    assert session._engine is not None

    def fails(*_: object) -> None:
        raise error

    handle = session._engine.runnable.built.module.model.layers[1].mlp.act_fn.register_forward_pre_hook(fails)
    session.start(recipe().prompts, until_end)
    failed: Failed = heard(events, Failed)
    assert failed.fault.error.startswith(type(error).__name__)
    assert failed.fault.path == "model.layers.1.mlp"
    assert failed.trace.records
    handle.remove()
    session.start(recipe().prompts, until_end)
    np.testing.assert_array_equal(heard(events, Finished).trace["logits"], reference["logits"])
    assert session.close(20)


def test_a_collective_whose_other_end_is_gone_is_no_fault_of_the_module() -> None:
    class Waits(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(f"[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:{len(x)}")

    with pytest.raises(RuntimeError) as caught:
        tracetui.trace(nn.Sequential(Waits()), torch.ones(2))
    assert any(
        "another rank has ended, or lost its connection, while this one was in 0" in n for n in caught.value.__notes__
    )
