"""What a command does to the session and to the state: the debugger's rules, without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracetui.debugger import no_step
from tracetui.debugger.edits import keeps_from_changing, names, run_with
from tracetui.debugger.rerun import behind, changed_at, keeps_from_rerunning, looks_back, reached
from tracetui.debugger.session import (
    Event,
    Failed,
    Finished,
    Fired,
    Opened,
    Prepared,
    Session,
    Stopped,
    until_end,
    until_first,
)
from tracetui.debugger.state import (
    Phase,
    ScreenState,
    backward,
    entered,
    forward,
    layer_backward,
    moved,
    resumed,
    starting,
)
from tracetui.debugger.state_events import after, of_an_earlier_run, stopped_after
from tracetui.debugger.stop_book import StopBook, book_of, first_of
from tracetui.debugger.waiting import WaitingSteps
from tracetui.expr.edit import Edit
from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit
from tracetui.recipe import Prompts
from tracetui.recording.stepping import Step, Target, pass_back, target

_PENDING = "the prompt runs as soon as the model is prepared"


class Driver:
    """Holds the session and the one current State. Commands answer with a remark for the user, or nothing."""

    def __init__(self, stops: Sequence[Stop] = (), edits: Sequence[Edit] = (), recording: bool = False) -> None:
        """recording: what the session opens holds records from the start."""
        self._recording = recording
        self.state = ScreenState(stops=book_of(stops), edits=tuple(edits))
        self._session: Session | None = None
        self._pending: Prompts | None = None
        self._cancelling = False
        self._waiting = WaitingSteps()

    def opened(self, session: Session) -> None:
        """The session exists. Its events may have come before it."""
        self._session = session
        session.stop_at(self.state.stops.stops)
        self._start_pending()

    def heard(self, event: Event) -> None:
        """An event of the session has arrived."""
        earlier = of_an_earlier_run(self.state, event)
        self.state = stopped_after(after(self.state, event), event)
        if earlier:
            return
        self._cancelling = self._cancelling and self.state.under_way
        if isinstance(event, Prepared):
            self._start_pending()
        elif isinstance(event, Failed):
            self._pending = None
        if isinstance(event, Failed | Finished | Fired):
            self.drop_waiting()
        elif isinstance(event, Stopped | Opened):
            self._take_waiting()

    def run(self, prompts: Prompts) -> str:
        """Run prompts from their first token, as soon as there is a model."""
        self.drop_waiting()
        if prompts.one_text and not prompts.text.strip():
            return "the prompt is empty; type one and press Enter"
        if self._session is None or self.state.phase is Phase.PREPARING:
            self._pending = prompts
            return _PENDING
        return self._start(prompts)

    def _start(self, prompts: Prompts) -> str:
        assert self._session is not None
        self._pending = None
        self.state = starting(self.state)
        self._cancelling = self._waiting.to_the_end = False
        number = self._session.start(prompts, until_first)
        self.state = replace(self.state, number=number)
        return run_with(self.state.edits)

    def preview(self, prompts: Prompts) -> None:
        """Have it worked out what prompts would be, as long as there is nothing else to look at."""
        if self._session is not None and self.state.cursor < 0 and not self.state.under_way:
            self._session.preview(prompts)

    def step(self, step: Step) -> str:
        """Forward: over records behind the frontier, else by letting the model run on."""
        state = self.state
        if state.cursor < 0 and not state.under_way:
            begins = self._pending is not None or (self._recording and state.phase is Phase.PREPARING)
            return self._wait(step) if begins else no_step.nothing_yet(state)
        if state.overview and (inside := entered(state, step)) is not None:
            self.state = inside
            return ""
        index = forward(state, step)
        if step is Step.LAYER and (remark := no_step.no_later_layer(state, index)):
            return remark
        end = state.frontier if index is None else index + 1
        if state.overview or state.stops.open_before(state.cursor, end):
            self._waiting.repeat(step, 1)
            return "the stops are being looked for in what is recorded"
        if (index := first_of(index, state.stops.after(state.cursor))) is not None:
            self.state = moved(state, index)
            return ""
        origin = state.record if state.cursor >= 0 else None
        if self._advance(until_end if step is Step.END else target(step, origin)):
            self._waiting.to_the_end = step is Step.END
            return ""
        return self._wait(step) if state.running else self._at_the_end(step)

    def _advance(self, until: Target) -> bool:
        """Let a waiting model run on; False if none waits."""
        if self.state.phase is not Phase.STOPPED or self._session is None:
            return False
        self.state = resumed(self.state)
        self._waiting.to_the_end = False
        self._session.advance(until)
        return True

    def repeat(self, step: Step, count: int) -> str:
        """A step so many times, or until a stop holds or it leads no further."""
        for left in range(count, 0, -1):
            if remark := self.step(step):
                return remark
            if self.state.running:
                self._waiting.repeat(step, left - 1)
                self._count_waiting()
                return ""
            if self.state.hits:
                return ""
        return ""

    def until(self, reached: Target, missing: str) -> str:
        """On to the next record that is wanted, or to a stop before it; `missing` says that there is none."""
        state = self.state
        if state.cursor < 0 and not state.under_way:
            return no_step.nothing_yet(state)
        ahead = range(0 if state.overview else state.cursor + 1, state.frontier)
        place = next((index for index in ahead if reached(state.trace.records[index])), None)
        if (place := first_of(place, state.stops.after(state.cursor))) is not None:
            self.state = moved(state, place)
            return ""
        if self._advance(reached):
            return ""
        return "the model runs; Space stops it" if state.running else missing

    def set_stops(self, stops: StopBook) -> None:
        """Other stops from now on, for the model and for what is recorded."""
        if self._session is not None:
            self._session.stop_at(stops.stops)
        # The session looks at whatever it records from now on; what there is already has to be looked up.
        self.state = replace(self.state, stops=stops.counted(self.recorded))

    def edit(self, edit: Edit) -> str:
        """One edit more, from here on. The record at which the model waits is changed too where that can still be."""
        state = self.state
        if edit.text in (known.text for known in state.edits):
            return "this edit stands already; X lists them"
        edits = (*state.edits, edit)
        if looks_back(state):
            return self.rerun(changed_at(edit, state.trace, state.cursor), edits)
        if self._session is None or state.phase is not Phase.STOPPED:
            return self.set_edits(edits)
        waiting = state.trace.records[state.frontier - 1]
        if why := keeps_from_changing(edit, waiting):
            remark = f": {why}" if names(edit, waiting) else behind(edit, state.trace)
            return f"{self.set_edits(edits)}{remark}"
        self.state = replace(state, edits=edits)
        self._session.edit(edits, waiting.index)
        self._advance(until_first)
        return "edited; the record before it keeps what was there"

    def rerun(self, at: int, edits: tuple[Edit, ...] | None = None) -> str:
        """Have the run taken up again from the layer of its record `at`, with other edits; the model stops there."""
        state = self.state
        if why := keeps_from_rerunning(state):
            return why
        assert self._session is not None
        self.drop_waiting()
        edits = state.edits if edits is None else edits
        self.state = replace(starting(state), edits=edits)
        self._cancelling = self._waiting.to_the_end = False
        number = self._session.rerun(at, edits, reached(state.trace.records[at]))
        self.state = replace(self.state, number=number)
        return ""

    def set_edits(self, edits: tuple[Edit, ...]) -> str:
        """Other edits from the next record on, and in later runs."""
        self.state = replace(self.state, edits=edits)
        if self._session is not None:
            self._session.edit(edits, self.state.frontier)
        return "from the next record on" if self.state.under_way else "in the next run; r runs again"

    @property
    def recorded(self) -> int:
        """How many records exist by now, told of or not."""
        return len(self.state.trace.records)

    def looked_up(self, text: str, count: int, hits: Sequence[Hit]) -> None:
        """Where a stop holds among the first `count` records was found out."""
        self.state = replace(self.state, stops=self.state.stops.looked_up(text, count, hits))
        self._take_waiting()

    def back(self, count: int = 1) -> str:
        """So many records back, or to the first."""
        for _ in range(count):
            if self.state.cursor == 0:
                return "this is the first record"
            if remark := self.jump(backward(self.state)):
                return remark
        return ""

    def layer_back(self) -> str:
        """The same place in an earlier layer; from outside of all layers, the last record in one."""
        index = layer_backward(self.state)
        return no_step.no_earlier_layer(self.state, index) or self.jump(index)

    def pass_back(self) -> str:
        """The same place in an earlier pass."""
        index = pass_back(self.state.trace.records, self.state.cursor)
        return no_step.no_earlier_pass(self.state) if index is None else self.jump(index)

    def generate(self, count: int) -> str:
        """Have the model go on from where its run has ended."""
        if remark := self.keeps_from_going_on():
            return remark
        assert self._session is not None
        self.drop_waiting()
        self.state = resumed(self.state)
        self._cancelling, self._waiting.to_the_end = False, True
        self._session.generate(count, until_end)
        return ""

    def keeps_from_going_on(self) -> str:
        """Why the model can't generate now; empty if it can."""
        if self._session is None:
            return no_step.nothing_yet(self.state)
        return no_step.no_end_to_go_on_from(self.state)

    def first(self) -> str:
        return self.jump(0)

    def last(self) -> str:
        return self.jump(self.state.frontier - 1)

    def pause(self) -> str:
        self.drop_waiting()
        if not self.state.running or self._session is None:
            return "nothing runs that could be stopped"
        self._session.pause()
        return ""

    def cancel(self) -> bool:
        """Cancel the run; False if there is none, or if it has been told already."""
        self._pending = None
        self.drop_waiting()
        if self._cancelling or not self.state.under_way or self._session is None:
            return False
        self._cancelling = True
        self._session.cancel()
        return True

    def explain(self) -> bool:
        """Have the configuration explained; False if there is no session yet."""
        if self._session is None:
            return False
        self._session.explain()
        return True

    def source(self) -> str:
        """Have the code behind the record looked up."""
        if self._session is None or self.state.cursor < 0:
            return no_step.nothing_yet(self.state)
        self._session.source(self.state.record.key.partition("@")[0])
        return "the code is shown when the model stops; Space stops it" if self.state.running else ""

    def close(self, timeout: float) -> bool:
        """End the session; False if its thread still ran after `timeout` seconds."""
        return self._session is None or self._session.close(timeout)

    def drop_waiting(self) -> None:
        """Forget the steps asked for while the model runs."""
        self._waiting.clear()
        self._count_waiting()

    def _wait(self, step: Step) -> str:
        remark = self._waiting.add(step)
        if not remark:
            self._count_waiting()
        return remark

    def _take_waiting(self) -> None:
        while self._waiting and not self.state.running:
            if self.state.stops.open_before(self.state.cursor, self.state.frontier):
                return
            step = self._waiting.next()
            self._count_waiting()
            self.step(step)

    def _count_waiting(self) -> None:
        if self.state.waiting != len(self._waiting):
            self.state = replace(self.state, waiting=len(self._waiting))

    def _start_pending(self) -> None:
        if self._pending is not None and self._session is not None and self.state.phase is not Phase.PREPARING:
            self._start(self._pending)

    def _at_the_end(self, step: Step) -> str:
        if step in (Step.END, Step.LAYER) and self.state.cursor < self.state.frontier - 1:
            return self.jump(self.state.frontier - 1)
        return no_step.no_later_record(self.state, step)

    def jump(self, index: int) -> str:
        """To a record."""
        if not self.state.frontier:
            return no_step.nothing_yet(self.state)
        self.drop_waiting()
        self.state = moved(self.state, index)
        return ""
