"""A live session under a random hand: stepping, stops, edits, cancelling, failing, generating, against a plain forward.

The rules are the debugger's own (the driver's, without a screen), and the events reach them as late as it pleases
chance. `make torture` lets it run for long; TRACETUI_TORTURE says for how many examples.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.tracer.session_laws import (
    PLANTED,
    PROMPTS,
    RECIPES,
    STOPS,
    Events,
    PlainStop,
    Reference,
    brake,
    check_at_rest,
    check_calls,
    check_values,
    is_given,
    was_before,
)
from tracetui.debugger.driver import Driver
from tracetui.debugger.rerun import keeps_from_rerunning
from tracetui.debugger.session import Event, Failed, Prepared, Sourced, Started, Stopped
from tracetui.debugger.state import Phase as Seen
from tracetui.expr.edit import Edit
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import parse_stop
from tracetui.expr.watcher import look_up
from tracetui.recipe import Prompts
from tracetui.recording.cut import FROM_THE_START
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.stepping import Step, Target
from tracetui.tracer.live import LiveSession

SECONDS = 60
_FAILS = (
    ("in", "model.layers.1.self_attn"),
    ("out", "model.layers.1.self_attn.q_proj"),
    ("in", "model.layers.0.mlp"),
    ("out", "model.layers.0"),
    ("out", "model.embed_tokens"),
    ("in", "lm_head"),
    ("out", ""),
)
_SITES = ("model.layers.1", "model.layers.0.self_attn:heads", "model.layers.1.mlp", "model.norm", "logits")
EXAMPLES = int(os.environ.get("TRACETUI_TORTURE", "0"))
done = dict.fromkeys(("examples", "rules", "runs", "records compared"), 0)


@dataclass(eq=False)
class Watched:
    """A live session whose calls are noted, and what it said that nobody has heard yet."""

    name: str
    said: SimpleQueue[Event] = field(default_factory=SimpleQueue)
    until: Target = lambda record: True
    since: int = 0
    pausing: bool = False

    def __post_init__(self) -> None:
        self.live = LiveSession(RECIPES[self.name], self._listen)
        while not isinstance(self.said.get(timeout=SECONDS), Prepared):
            pass
        assert self.live._engine is not None
        self.engine = self.live._engine
        self.attention = self.engine.runnable.built.config._attn_implementation

    def _listen(self, event: Event) -> None:
        if isinstance(event, Started):
            brake().calls.clear()
        self.said.put(event)

    def start(self, prompts: Prompts, until: Target) -> int:
        self.until, self.since, self.pausing = until, 0, False
        return self.live.start(prompts, until)

    def rerun(self, at: int, edits: tuple[Edit, ...], until: Target) -> int:
        self.until, self.since, self.pausing = until, 0, False
        return self.live.rerun(at, edits, until)

    def advance(self, until: Target) -> None:
        self.until, self.since, self.pausing = until, len(self.live._trace.records), False
        self.live.advance(until)

    def generate(self, tokens: int, until: Target) -> None:
        self.until, self.since, self.pausing = until, len(self.live._trace.records), False
        self.live.generate(tokens, until)

    def pause(self) -> None:
        self.pausing = True
        self.live.pause()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.live, name)


@cache
def reference(name: str) -> Reference:
    return Reference(RECIPES[name])


_sessions: dict[str, Watched] = {}


class Debugging(RuleBasedStateMachine):
    """One user of one model."""

    @initialize(name=st.sampled_from(list(RECIPES)), first=st.sampled_from(PROMPTS))
    def open(self, name: str, first: Prompts) -> None:
        self.name = name
        # Before anything runs: while a model is built, torch's default dtype is another, in all threads.
        self.reference = reference(name)
        self.numbers = count()
        self.stops: dict[str, PlainStop] = {}
        self.looked_from: dict[str, int | None] = {}
        self.told_cancel = self.overtaken = False
        self.driver = Driver()
        self.events = Events()
        self.session = _sessions.pop(name) if name in _sessions else Watched(name)
        brake().failing = brake().failed = None
        brake().watch(self.session.engine)
        self.driver.opened(self.session)
        self.driver.state = self.driver.state.__class__(phase=Seen.READY, outline=self.session.engine.prepared.outline)
        done["examples"] += 1
        self.run(first, True)

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        brake().release()
        brake().failing = None
        self.session.live.cancel()
        self.told_cancel = True
        try:
            self._settle()
        finally:
            self.session.live.stop_at(())
            self.session.live.edit((), 0)
        _sessions[self.name] = self.session

    # What a user does.

    @rule(prompts=st.sampled_from(PROMPTS), rests=st.booleans())
    def run(self, prompts: Prompts, rests: bool) -> None:
        self.told_cancel = False
        self.overtaken = self.events.state != "idle" or not self.session.said.empty()
        self.driver.run(prompts)
        done["runs"] += 1
        self._rest(rests)

    @rule(step=st.sampled_from([step for step in Step if step is not Step.END]), rests=st.booleans())
    def step(self, step: Step, rests: bool) -> None:
        self.driver.step(step)
        self._rest(rests)

    @rule(rests=st.booleans())
    def go_on(self, rests: bool) -> None:
        self.driver.step(Step.END)
        self._rest(rests)

    @rule(step=st.sampled_from([Step.INTO, Step.OVER, Step.OUT]), times=st.integers(2, 30), rests=st.booleans())
    def repeat(self, step: Step, times: int, rests: bool) -> None:
        self.driver.repeat(step, times)
        self._rest(rests)

    @rule(site=st.sampled_from(_SITES), rests=st.booleans())
    def run_until(self, site: str, rests: bool) -> None:
        self.driver.until(lambda record: record.site == site, "")
        self._rest(rests)

    @rule(way=st.sampled_from([Driver.back, Driver.layer_back, Driver.pass_back, Driver.first, Driver.last]))
    def look_back(self, way: Callable[[Driver], str]) -> None:
        if self.driver.state.frontier:
            way(self.driver)

    @rule(index=st.integers(0, 250))
    def jump(self, index: int) -> None:
        self.driver.jump(index)

    @rule(stops=st.lists(st.sampled_from(STOPS), max_size=3, unique_by=lambda stop: stop.text))
    def set_stops(self, stops: list[PlainStop]) -> None:
        state = self.driver.state
        book = state.stops
        for text in [text for text in self.stops if text not in {stop.text for stop in stops}]:
            book = book.without(text)
        for stop in stops:
            if stop.text not in self.stops:
                book = book.with_stop(parse_stop(stop.text))
        self.stops = {stop.text: stop for stop in stops}
        resting = not state.running and self.session.said.empty()
        # While the model runs nobody knows from which record on: from its next rest on it is certain.
        since = state.frontier if resting else None
        self.looked_from = {text: self.looked_from.get(text, since) for text in self.stops}
        self.driver.set_stops(book)

    @rule(chosen=st.integers(0, 12))
    def edit(self, chosen: int) -> None:
        known = list(self.reference.edits)
        text = known[chosen % len(known)]
        if self.driver.state.phase is Seen.STOPPED:
            # What was recorded under its old name until now is looked at before it may change.
            self._settle()
        self._may_rerun()
        self.driver.edit(parse_edit(text))

    @rule(rests=st.booleans())
    def rerun(self, rests: bool) -> None:
        """From the record looked at on, with the edits that stand."""
        self._may_rerun()
        self.driver.rerun(self.driver.state.cursor)
        self._rest(rests)

    def _may_rerun(self) -> None:
        """If the model is asked to run again from behind: what stops it is counted anew."""
        if not keeps_from_rerunning(self.driver.state):
            self._settle()
            self.told_cancel = False
            self.looked_from = dict.fromkeys(self.stops)

    @rule(chosen=st.integers(0, 3))
    def take_edit_away(self, chosen: int) -> None:
        edits = self.driver.state.edits
        if chosen < len(edits):
            self.driver.set_edits((*edits[:chosen], *edits[chosen + 1 :]))

    @rule()
    def pause(self) -> None:
        self.driver.pause()

    @rule()
    def cancel(self) -> None:
        self.told_cancel = self.driver.cancel() or self.told_cancel

    @rule(tokens=st.integers(1, 3), rests=st.booleans())
    def generate(self, tokens: int, rests: bool) -> None:
        if not self.driver.keeps_from_going_on():
            self.told_cancel = False
        self.driver.generate(tokens)
        self._rest(rests)

    @rule()
    def ask(self) -> None:
        self.driver.source()
        self.driver.preview(PROMPTS[0])

    @rule()
    def explain(self) -> None:
        self.driver.explain()

    @rule(edit=st.booleans())
    def export(self, edit: bool) -> None:
        """Written while the model may run on, and perhaps with an edit made while it is written."""
        if not self.driver.state.frontier:
            return
        added = parse_edit("layers.1.mlp: scale 3")
        if edit:
            self._may_rerun()

        def meddle(written: int, size: int) -> None:
            if edit:
                self.driver.edit(added)

        with TemporaryDirectory() as folder:
            path = Path(folder) / "t.npz"
            write_trace(self.driver.state.trace, path, meddle)
            read = read_trace(path)
            if not self.driver.state.running and not edit:
                self._settle()
                check_values(read, self.reference)

    @rule(seldom=st.integers(0, 9))
    def reopen(self, seldom: int) -> None:
        if seldom:
            return
        brake().release()
        assert self.session.live.close(SECONDS)
        assert not self.session.live._thread.is_alive()
        self.session = Watched(self.name)
        brake().watch(self.session.engine)
        self.driver, self.events = Driver(), Events()
        self.driver.opened(self.session)
        self.driver.state = self.driver.state.__class__(phase=Seen.READY, outline=self.session.engine.prepared.outline)
        self.stops, self.looked_from, self.told_cancel = {}, {}, False

    # What befalls the model.

    @rule(calls=st.integers(1, 60))
    def hold_up(self, calls: int) -> None:
        """The model runs, and gets no further than this for some time."""
        brake().hold_after(calls)
        if self.driver.state.running:
            brake().held.wait(0.05)

    @rule(where=st.sampled_from(_FAILS))
    def fail(self, where: tuple[str, str]) -> None:
        brake().failing = where

    # What the user gets to see of it.

    @rule(most=st.integers(1, 6))
    def hear(self, most: int) -> None:
        for _ in range(most):
            try:
                self._hear(self.session.said.get(timeout=0.02))
            except Empty:
                return

    @rule()
    def settle(self) -> None:
        self._settle()

    @rule()
    def look_for_stops(self) -> None:
        self._look_for_stops()

    def _look_for_stops(self) -> None:
        state = self.driver.state
        for entry in state.stops.to_look_up:
            recorded = self.driver.recorded
            records = [state.trace.records[index] for index in range(recorded)]
            self.driver.looked_up(entry.stop.text, recorded, look_up(state.trace, entry.stop, records)[0])

    def _hear(self, event: Event) -> None:
        note(f"    {type(event).__name__} {getattr(event, 'frontier', '')}")
        self.events.hear(event)
        if isinstance(event, Started):
            # All is run again only where nothing can be left out: these families know how to take up any layer.
            assert event.cut.whole in ("", FROM_THE_START.whole, "no layer lies before it"), event.cut
            # Not when it is asked for: a run that is left before it begins leaves the one before on view.
            known = self.looked_from.items()
            self.looked_from = {text: since if since is None else event.cut.taken for text, since in known}
        if isinstance(event, Stopped):
            self._check_stopped(event)
        self.driver.heard(event)
        if isinstance(event, Failed) and PLANTED not in event.error:
            assert event.error.startswith("generate:"), event

    def _rest(self, wanted: bool) -> None:
        if wanted:
            self._settle()

    def _settle(self) -> None:
        """Until the model rests, and all that it said is heard."""
        brake().release()
        while True:
            asked = f"asked.{next(self.numbers)}"
            self.session.live.source(asked)
            while True:
                event = self.session.said.get(timeout=SECONDS)
                self._hear(event)
                if isinstance(event, Sourced) and event.site == asked:
                    break
            self._look_for_stops()
            # A model that waits may answer once more before it finds that it is to leave.
            leaves = self.told_cancel and self.events.state != "idle"
            if not self.driver.state.running and not leaves and self.session.said.empty():
                break
        self.overtaken = False
        self._check_rest()

    # What must be true.

    def _check_stopped(self, event: Stopped) -> None:
        """It had a reason to stop here, and none before."""
        records, here = self.events.trace.records, event.frontier - 1
        fired = {index for index, _ in self.events.fired}
        passed = [records[index] for index in range(self.session.since, here)]
        if self.session.pausing or self.overtaken:
            return
        assert here in fired or self.session.until(records[here]), records[here]
        assert not any(map(self.session.until, passed))

    @invariant()
    def the_cursor_is_behind_the_frontier(self) -> None:
        if not hasattr(self, "driver"):
            return
        done["rules"] += 1
        state = self.driver.state
        assert -1 <= state.cursor < max(state.frontier, 1)
        assert state.frontier <= len(state.trace.records) <= len(state.trace.values)
        assert state.cursor < 0 or state.frontier
        # Before its first rest a run that is under way has nothing to look at yet.
        assert state.cursor >= 0 or not state.frontier or state.running

    def _check_rest(self) -> None:
        state, events = self.driver.state, self.events
        trace = state.trace
        phases = {"waiting": {Seen.STOPPED}, "idle": set(Seen) - {Seen.STOPPED, Seen.RUNNING, Seen.STARTING}}
        assert state.phase in phases[events.state], (state.phase, events.state)
        if self.told_cancel:
            assert state.phase is not Seen.STOPPED
        if (planted := brake().failed) is not None:
            self._check_fault(*planted)
            brake().failed = None
        assert state.frontier == len(trace.records)
        done["records compared"] += len(trace)
        if len(trace):
            plain = check_values(trace, self.reference)
            self._check_stops(plain)
            waits = trace.records[-1] if state.phase is Seen.STOPPED else None
            if not (state.phase is Seen.FAILED and "generate" not in state.error):
                check_calls(brake().calls, plain, events.cut, waits)
        if events.state == "idle":
            check_at_rest(self.session.engine, self.session.attention)

    def _check_fault(self, kind: str, path: str) -> None:
        """Who failed is said, unless another run was asked for meanwhile."""
        state = self.driver.state
        if state.phase is Seen.FAILED and PLANTED in state.error:
            # Before a module begins it is the one around it that fails.
            assert state.fault.path == (path if kind == "out" else path.rpartition(".")[0])
            assert state.fault.inputs
            assert state.log

    def _check_stops(self, plain: Any) -> None:
        """Each stop held where it holds in the plain forward, as the screen knows it and as the model found it."""
        trace = self.driver.state.trace
        asked = {
            record.index
            for record in trace.records
            # The model waits at nothing that a failed module was given.
            if not was_before(record) and not is_given(record, plain)
        }
        for text, stop in self.stops.items():
            entry = self.driver.state.stops.find(text)
            assert entry is not None
            places = asked & set(entry.places)
            expected = {
                record.index
                for record in trace.records
                if record.index in asked and stop.is_hit(record, trace.value(record).read())
            }
            assert places == expected, text
            since = self.looked_from[text]
            if since is None:
                self.looked_from[text] = len(trace)
            else:
                late = {index for index in expected if index >= since}
                assert late <= {index for index, fired in self.events.fired if fired == text}, text


@pytest.fixture(scope="module", autouse=True)
def _closing() -> Any:
    yield
    for session in _sessions.values():
        assert session.live.close(SECONDS)
    _sessions.clear()
    if EXAMPLES:
        print("\n" + ", ".join(f"{count:,} {what}" for what, count in done.items()))


def _profile() -> settings:
    quiet = list(HealthCheck)
    if EXAMPLES:
        return settings(max_examples=EXAMPLES, stateful_step_count=50, suppress_health_check=quiet)
    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    return settings(
        max_examples=12,
        stateful_step_count=25,
        derandomize=True,
        suppress_health_check=quiet,
        phases=phases,
    )


TestDebugging = Debugging.TestCase
TestDebugging.settings = _profile()
