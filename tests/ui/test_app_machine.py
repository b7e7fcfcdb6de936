"""The application over a real model, under a random hand: whatever is pressed, it answers and loses nothing.

A tiny model from a configuration is opened as `tracetui run` opens it; somebody types, runs, steps, stops, edits,
exports, opens, compares, resizes, changes themes, quits and comes back. `make torture` lets it run for long. What was
done stands in a failing test's output, and its seed does it again.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from textual import events
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input

from tests.hooks_left import hooks_left
from tests.tracer.recipes import CONFIG
from tests.ui.driving import workers_done
from tracetui import paths
from tracetui.commands.screen import debugger_app
from tracetui.debugger.memory import store
from tracetui.debugger.memory.writing import written
from tracetui.debugger.state import Phase, ScreenState
from tracetui.errors import InputError
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import parse_stop
from tracetui.options.parser import parser
from tracetui.recipe.prompts import Prompts
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.trace import Trace
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.live import LiveSession
from tracetui.ui.app import TracetuiApp
from tracetui.ui.debugger_screen.screen import DebuggerScreen
from tracetui.ui.dialogs.files import export
from tracetui.ui.widgets.prompt_bar import PromptInput

LONG = int(os.environ.get("TRACETUI_TORTURE", "0")) // 10
SEEDS, ACTION_COUNT = (range(LONG), 30) if LONG else (range(1), 10)
SECONDS = 60
"""How long anything may take at most: the machine has other work to do."""
MIXTURE = {**CONFIG, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2, "num_hidden_layers": 2}
CONFIGS = {"llama": {**CONFIG, "num_hidden_layers": 2}, "mixtral": MIXTURE}
SIZES = ((120, 40), (80, 24), (180, 50), (60, 16), (20, 5), (1, 1))
TEXTS = ("hi", "the answer is ", "é 火 \x1b[31m", "  ", "x" * 500, "two\nlines")
STOPS = ("layers.1.mlp", "norm > 1e9", "*.q_proj if nan", "layers.*", "no such (", "value[0,0] > 0", "logits")
EDITS = (
    "layers.1.mlp: zero",
    "layers.0: scale 2",
    "self_attn: head 1 zero",
    "layers.0.mlp: set 1e40",
    "nonsense",
    "layers.7: skip",
)
WATCHES = ("norm", "*.mlp: absmax", "value[", "")
LINES = {
    "B": STOPS,
    "E": EDITS,
    "w": WATCHES,
    "U": ("layers.1", "zzz"),
    "ctrl+o": ("mlp", "q"),
    "slash": ("attn", "qq"),
}
LINES |= {"number_sign": ("5 over", "3 into", "x"), "ctrl+g": ("2", "0", "9999999")}
"""Keys that ask for a line, and what is typed then."""
STEPS = ("n", "s", "u", "c", "p", "home", "end", "}", "{", "full_stop", "comma", "space", "A", "T", "b")
LOOKS = (
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "[",
    "]",
    "(",
    ")",
    "<",
    ">",
    "a",
    "z",
    "y",
    "N",
    "i",
    "exclamation_mark",
    "D",
    "f12",
)
DIALOGS = ("S", "X", "t", "question_mark", "C", "R", "P", "v", "ctrl+p", "e", "o", "d", "r")
ANYWHERE = (
    *STEPS,
    *LOOKS,
    *DIALOGS,
    "escape",
    "enter",
    "down",
    "up",
    "tab",
    "delete",
    "pagedown",
    "left",
    "right",
    "x",
    "m",
)
FILES = ("a.npz", "b.npz", "missing.npz", "config.json")

Action = tuple[str, tuple[Any, ...]]


def _some(rng: Random, keys: Sequence[str], most: int) -> list[str]:
    return rng.choices(keys, k=rng.randint(1, most))


ACTIONS: dict[str, Callable[[Random], Action]] = {
    "run": lambda rng: ("run", (rng.choice(TEXTS), rng.random() < 0.7)),
    "steps": lambda rng: ("press", (_some(rng, STEPS, 6), rng.random() < 0.7)),
    "looks": lambda rng: ("press", (_some(rng, LOOKS, 4), True)),
    "anything": lambda rng: ("press", (_some(rng, ANYWHERE, 4), rng.random() < 0.7)),
    "type": lambda rng: ("type", (rng.choice(TEXTS),)),
    "stop": lambda rng: ("line", ("B", rng.choice((0, 1, 2, 5)), True)),
    "line": lambda rng: ("line", (rng.choice(list(LINES)), rng.randrange(7), rng.random() < 0.7)),
    "resize": lambda rng: ("resize", (rng.choice(SIZES),)),
    "cancel": lambda rng: ("cancel", ()),
    "export": lambda rng: ("export", (rng.choice(FILES[:2]),)),
    "file": lambda rng: ("file", (rng.choice("od"), rng.choice(FILES), _some(rng, ANYWHERE, 4))),
    "theme": lambda rng: ("theme", (rng.randint(1, 4),)),
    "quit": lambda rng: ("quit", ()),
}


def _actions(rng: Random, count: int) -> list[Action]:
    """Something runs first and is cancelled, and a stop is set, which is to come back; anything may follow."""
    names = ["run", "stop", "cancel", "run", *rng.choices(list(ACTIONS), k=count)]
    return [ACTIONS[name](rng) for name in names]


Plant = Callable[[pytest.MonkeyPatch], None]
Standing = tuple[str, set[str]]
"""What is typed, and the stops and edits that are set."""
done: Counter[str] = Counter()


@dataclass
class Seat:
    """Somebody at the application, and what they know of it."""

    app: TracetuiApp
    pilot: Pilot[int]
    typed: str
    """What stands in the prompt's line."""

    @property
    def state(self) -> ScreenState:
        return self.app.debugger.state

    @property
    def prompt(self) -> PromptInput:
        return self.app.debugger.query_one(PromptInput)

    @property
    def has_left(self) -> bool:
        return self.app._exit

    async def press(self, keys: list[str], rests: bool) -> None:
        for key in keys:
            if self.has_left:
                return
            in_prompt = self.app.focused is self.prompt
            await asyncio.wait_for(self.pilot.press(key), SECONDS)
            # Nothing else changes what is typed, and running it leaves it there.
            if key != "enter" and (in_prompt or self.app.focused is self.prompt):
                self.typed = self.prompt.value
        await self.settle(rests)

    async def settle(self, rests: bool = True) -> None:
        """The screen answers; with `rests` the model has come to where it waits, and all has been read."""
        await asyncio.wait_for(self.pilot.pause(), SECONDS)
        if not rests:
            return
        async with asyncio.timeout(SECONDS):
            while self.state.phase in (Phase.PREPARING, Phase.STARTING, Phase.RUNNING):
                await self.pilot.pause(0.005)
            await workers_done(self.app)
        await asyncio.wait_for(self.pilot.pause(), SECONDS)

    async def to_panes(self) -> None:
        """Out of whatever is open, to the debugger's screen, where keys are commands."""
        for _ in range(12):
            if self.app.screen is self.app.debugger and not self.app.debugger.typing:
                return
            leaves = "escape" if isinstance(self.app.screen, ModalScreen) or self._is_typing else "backspace"
            await self.pilot.press(leaves)
            await asyncio.wait_for(self.pilot.pause(), SECONDS)
        raise AssertionError(f"no way out of {self.app.screen}")

    @property
    def _is_typing(self) -> bool:
        screen = self.app.screen
        return isinstance(self.app.focused, Input) or not isinstance(screen, DebuggerScreen)

    async def paste(self, text: str) -> None:
        assert self.app.focused is not None
        self.app.focused.post_message(events.Paste(text))
        await asyncio.wait_for(self.pilot.pause(), SECONDS)

    # What somebody does.

    async def do_run(self, text: str, rests: bool) -> None:
        await self.do_type(text)
        await self.press(["enter"], rests)
        done["runs"] += 1

    async def do_press(self, keys: list[str], rests: bool) -> None:
        await self.press(keys, rests)

    async def do_type(self, text: str) -> None:
        await self.to_panes()
        await self.press(["r", "end", "ctrl+u"], False)
        assert self.app.focused is self.prompt
        await self.paste(text)
        assert self.prompt.value == text
        self.typed = text

    async def do_line(self, key: str, number: int, rests: bool) -> None:
        await self.to_panes()
        await self.press([key], False)
        line = self.app.focused
        if not isinstance(line, Input):
            return
        text = LINES[key][number % len(LINES[key])]
        await self.press(["end", "ctrl+u"], False)
        before = self._standing()
        await self.paste(text)
        await self.press(["enter"], rests)
        if key in "BE" and (added := _parsed(key, text)) is not None and self.app.screen is self.app.debugger:
            assert added in self._standing() or added in before

    async def do_resize(self, size: tuple[int, int]) -> None:
        await self.pilot.resize_terminal(*size)
        await self.settle(False)

    async def do_cancel(self) -> None:
        if self.state.under_way:
            await self.press(["ctrl+c"], True)
            assert not self.state.under_way

    async def do_export(self, name: str) -> None:
        await self.to_panes()
        frontier = self.state.frontier
        await self.press(["e"], False)
        if not isinstance(self.app.screen, ModalScreen):
            return
        await self.press(["end", "ctrl+u"], False)
        await self.paste(name)
        await self.press(["enter", "enter"], True)
        path = Path(name)
        if frontier:
            self._check_exported(path, frontier)

    def _check_exported(self, path: Path, least: int) -> None:
        """The file has what was recorded, and nothing else."""
        trace, exported = self.state.trace, read_trace(path)
        count = len(exported)
        assert least <= count <= len(trace.records)
        assert [record.key for record in exported.records] == [record.key for record in trace.records[:count]]
        for record, own in zip(
            exported.records[:: max(1, count // 4)], trace.records[:: max(1, count // 4)], strict=False
        ):
            np.testing.assert_array_equal(exported.value(record).read(), trace.value(own).read())
        done["values"] += 1

    async def do_file(self, key: str, name: str, keys: list[str]) -> None:
        await self.to_panes()
        await self.press([key], True)
        if not isinstance(self.app.screen, ModalScreen):
            return
        await self.press(["end", "ctrl+u"], False)
        await self.paste(name)
        await self.press(["enter", *(key for key in keys if key != "enter")], True)

    async def do_theme(self, down: int) -> None:
        await self.to_panes()
        await self.press(["t", *["down"] * down, "enter"], False)

    # What must be true.

    def _standing(self) -> set[str]:
        state = self.state
        return {stop.text for stop in state.stops.stops} | {edit.text for edit in state.edits}

    def check(self) -> None:
        state = self.state
        done["checks"] += 1
        assert self.app._exception is None
        assert -1 <= state.cursor < max(state.frontier, 1)
        assert state.frontier <= len(state.trace.records)
        # An emptied line goes back to what was run last.
        assert self.prompt.value == self.typed or not self.typed.strip()
        self.typed = self.prompt.value
        screen = "\n".join(
            "".join(segment.text for segment in line) for line in self.app.screen._compositor.render_strips()
        )
        for word in ("Traceback", "internal error", "\x1b"):
            assert word not in screen, screen
        assert not state.log, (state.error, Path(state.log).read_text())
        crashes = [log for log in (paths.state_dir() / "logs").glob("*.log") if log.name != "stderr.log"]
        assert not crashes, crashes[0].read_text()


def _parsed(key: str, text: str) -> str | None:
    try:
        return (parse_stop if key == "B" else parse_edit)(text).text
    except InputError:
        return None


@contextmanager
def _home(config: str) -> Iterator[None]:
    """A user of their own, in a folder of theirs."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        os.chdir(folder)
        for kind in ("STATE", "CONFIG", "CACHE"):
            patch.setenv(f"TRACETUI_{kind}_DIR", str(Path(folder) / kind.lower()))
        Path("config.json").write_text(json.dumps(CONFIGS[config]))
        try:
            yield
        finally:
            os.chdir(before)


async def session(
    actions: list[Action], restored: tuple[str, set[str]] | None
) -> tuple[list[Action], tuple[str, set[str]]]:
    """One time at the application, until somebody quits; returns what is left to do, and what was set at the end."""
    arguments = parser().parse_args(["run", "config.json"])
    arguments.offline = True
    app = debugger_app(arguments)
    async with app.run_test(size=(100, 30)) as pilot:
        seat = Seat(app, pilot, "")
        await seat.settle()
        seat.typed = seat.prompt.value
        if restored is not None:
            assert (seat.typed, seat._standing()) == restored
        seat.check()
        while actions and not seat.has_left:
            name, values = actions.pop(0)
            print(name, *values)
            done[name] += 1
            if name == "quit":
                break
            await getattr(seat, f"do_{name}")(*values)
            if not seat.has_left:
                seat.check()
        live = app.debugger.host.driver._session
        assert isinstance(live, LiveSession)
        engine = live._engine
        last, standing = seat.typed, seat._standing()
        if not seat.has_left:
            await seat.to_panes()
            await pilot.press("q")
    assert app.closed
    assert not live._thread.is_alive()
    if engine is not None:
        assert not hooks_left(engine.runnable.built.module)
    return actions, (last, standing)


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.daemon}


def lived(config: str, actions: list[Action]) -> None:
    before = _threads()
    restored: Standing | None = None
    done["examples"] += 1
    with _home(config):
        left = actions
        while left or restored is None:
            left, restored = asyncio.run(session(left, restored))
            if not restored[0].strip():
                # An emptied line comes back as what was run last.
                restored = None
                if not left:
                    break
        # What was left last is there again.
        asyncio.run(session([], restored))
    assert _threads() <= before
    assert done["runs"]


@pytest.fixture(scope="module", autouse=True)
def _telling() -> Iterator[None]:
    """How much of what was done."""
    yield
    if LONG:
        print("\n" + ", ".join(f"{count:,} {name}" for name, count in done.items()))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_pressed_the_screen_answers_and_nothing_is_lost(seed: int) -> None:
    rng = Random(seed)
    lived(rng.choice(list(CONFIGS)), _actions(rng, ACTION_COUNT))


def _stays_on(patch: pytest.MonkeyPatch) -> None:
    """A hook that is left on a model whose run was cancelled."""
    leave: Any = ModelHooks.__exit__

    def stay(hooks: Any, kind: Any, *error: Any) -> None:
        leave(hooks, kind, *error)
        if kind is not None:
            hooks._model.register_forward_hook(lambda *call: None)

    patch.setattr(ModelHooks, "__exit__", stay)


def _forgets(patch: pytest.MonkeyPatch) -> None:
    """A session's note without its stops."""
    patch.setattr(store, "written", lambda note, model: written(replace(note, stops=()), model))


def _is_deaf(patch: pytest.MonkeyPatch) -> None:
    """A cancelled run that goes on waiting."""
    patch.setattr(LiveSession, "cancel", lambda session: None)


def _loses(patch: pytest.MonkeyPatch) -> None:
    """A prompt's line that is emptied when its run stops."""
    watch: Any = DebuggerScreen.watch_state

    def empty(screen: DebuggerScreen, before: ScreenState, state: ScreenState) -> None:
        watch(screen, before, state)
        if before.phase is Phase.RUNNING and state.phase is not Phase.RUNNING:
            screen.query_one(PromptInput).value = "z"

    patch.setattr(DebuggerScreen, "watch_state", empty)


def _misremembers(patch: pytest.MonkeyPatch) -> None:
    """A session's note with another prompt than the last."""
    patch.setattr(store, "written", lambda note, model: written(replace(note, prompts=Prompts(texts=("ho",))), model))


def _exports(change: Callable[[Trace], Trace]) -> Plant:
    """Another trace than the one on view is written."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(export, "write_trace", lambda trace, *rest: write_trace(change(trace), *rest))

    return plant


def _without_last(trace: Trace) -> Trace:
    return replace(trace, records=trace.records[:-1], values=trace.values[:-1])


def _with_others_values(trace: Trace) -> Trace:
    values = list(trace.values)
    shapes = [value.shape for value in values]
    values[0] = next(value for value, shape in zip(values[1:], shapes[1:], strict=True) if shape == shapes[0])
    return replace(trace, values=values)


def _writes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(export, "write_trace", lambda trace, path, progress: 1)


FEW: list[Action] = [("run", ("hi", True)), ("line", ("B", 1, True)), ("cancel", ()), ("export", ("a.npz",))]
PLANTS = [_stays_on, _forgets, _is_deaf, _misremembers, _writes_nothing, _exports(_without_last)]
PLANTS += [_exports(_with_others_values)]


@pytest.mark.parametrize("plant", [_loses, *(PLANTS if LONG else [])])
def test_a_planted_fault_is_noticed(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, OSError, InputError)):
        lived("llama", list(FEW))
