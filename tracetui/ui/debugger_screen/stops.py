"""Stops and watches: typed, listed, switched, and looked for in what is recorded already."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from tracetui.debugger.log.level import Level
from tracetui.debugger.session import Event, Finished, Fired, Prepared, Tallied
from tracetui.debugger.state import ScreenState
from tracetui.debugger.stop_book import Entry, StopBook
from tracetui.expr.stop import Stop, parse_stop
from tracetui.expr.watch import Watch, parse_watch
from tracetui.expr.watcher import Hit, Tally, look_up
from tracetui.recording.trace import Trace
from tracetui.text import visible
from tracetui.ui.debugger_screen.host import Handlers, Host, TreeLine
from tracetui.ui.debugger_screen.questions import LineQuestions
from tracetui.ui.debugger_screen.steps import StepActions
from tracetui.ui.dialogs.ask import AskScreen
from tracetui.ui.dialogs.stops import NewStop, StopsScreen, ToHit
from tracetui.views.run.stops import hit_line, unfired_lines

StopHits = tuple[tuple[str, tuple[Hit, ...]], ...]
"""By the texts of stops, where they hold."""


class Watches(Protocol):
    """The list of what is watched."""

    def toggle(self, watch: Watch) -> bool:
        """Add a watch, or remove it if it is there; returns whether it is there now."""


class StopActions:
    """Every command about stops and watches."""

    def __init__(
        self, host: Host, line: TreeLine, watches: Watches, steps: StepActions, questions: LineQuestions
    ) -> None:
        self._host = host
        self._questions = questions
        self._line = line
        self._watches = watches
        self._steps = steps
        self._tallies: tuple[Tally, ...] = ()
        self._looked_for: object = None

    @property
    def handlers(self) -> Handlers:
        return {"stop": self.toggle, "condition": self.condition, "stops": self.open_list, "watch": self.watch}

    def change(self, stops: StopBook, remark: str = "") -> None:
        self._host.driver.set_stops(stops)
        self._host.show(remark)

    def add(self, stop: Stop) -> None:
        """Add a stop, or switch it on if it exists."""
        book = self._host.state.stops
        entry = book.find(stop.text)
        self.change(book.with_stop(stop) if entry is None else book.switched(stop.text, True), f"stop at {stop.text}")

    def toggle(self) -> None:
        """Toggle a stop at the tree's line if the tree has the keys, else at the current record."""
        state, line = self._host.state, self._line
        text = line.stop_pattern if line.has_focus else state.record.site
        if not text:
            self._host.show("these layers are not run" if line.has_focus else "there is no record to stop at yet")
            return
        stop = parse_stop(text)
        if state.stops.find(stop.text) is not None:
            self.change(state.stops.without(stop.text), f"no stop at {stop.text} any more")
        else:
            self.add(stop)

    def condition(self) -> None:
        """Type a stop: a site, a condition, or both."""
        site = (self._line.stop_pattern if self._line.has_focus else self._host.state.record.site) or "*"
        self._host.push(AskScreen(self._questions.stop(f"{site} if ")), self._stop_typed)

    def _stop_typed(self, typed: str | None) -> None:
        if typed is not None:
            self.add(parse_stop(typed))

    def open_list(self) -> None:
        """The stops with their hits."""
        dialog = StopsScreen(lambda: self._host.state.stops, self._change_entry, self._host.state.cursor)
        self._host.push(dialog, self._list_left)

    def _change_entry(self, entry: Entry, on: bool | None) -> None:
        text, book = entry.stop.text, self._host.state.stops
        self.change(book.without(text) if on is None else book.switched(text, on))

    def _list_left(self, answer: ToHit | NewStop | None) -> None:
        if isinstance(answer, ToHit):
            self._steps.to(answer.index)
        elif isinstance(answer, NewStop):
            self.condition()

    def watch(self) -> None:
        """Type what is to be looked at again at every stop."""
        site = self._host.state.record.site
        self._host.push(AskScreen(self._questions.watch(f"{site}.norm" if site else "")), self.watch_typed)

    def watch_typed(self, typed: str | None) -> None:
        if typed is not None:
            stands = self._watches.toggle(parse_watch(typed))
            self._host.show("" if stands else f"{typed.strip()} is watched no more")

    def follow(self, old: ScreenState, new: ScreenState) -> None:
        """Another state is shown."""
        self.look_up()
        if old.stops is not new.stops and isinstance(dialog := self._host.dialog, StopsScreen):
            dialog.refresh_list()

    def look_up(self) -> None:
        """Have stops looked for among records that were made before them."""
        trace, entries = self._host.state.trace, self._host.state.stops.to_look_up
        looked_for = (trace, tuple((entry.stop.text, entry.unknown) for entry in entries))
        if entries and looked_for != self._looked_for:
            stops, count = [entry.stop for entry in entries], self._host.driver.recorded
            work = partial(look_up_stops, trace, stops, count)
            self._host.read("stops", work, partial(self._looked_up, count), of_trace=True)
        self._looked_for = looked_for

    def _looked_up(self, count: int, stop_hits: StopHits) -> None:
        """Where stops hold among the first `count` records."""
        before = self._host.state.cursor
        for text, hits in stop_hits:
            self._host.driver.looked_up(text, count, hits)
        self._host.show(None if self._host.state.cursor == before else "")

    def hear(self, event: Event) -> list[str]:
        """What an event says of stops, for the log; at the end of a run, which of them never held is said."""
        if isinstance(event, Fired):
            trace = self._host.state.trace
            return [f"stop {hit_line(hit)}: {visible(_key(trace, hit), 200)}" for hit in event.hits]
        if isinstance(event, Prepared):
            for problem in self._questions.places.unknown(self._host.state):
                self._host.say(problem, Level.WARNING)
        missing = self._steps.hear(event)
        if isinstance(event, Tallied):
            self._tallies = event.tallies
        elif isinstance(event, Finished) and not event.cancelled:
            book = self._host.state.stops
            hit = {entry.stop.text for entry in book.entries if entry.hits or entry.unknown}
            never = list(unfired_lines([tally for tally in self._tallies if tally.stop.text not in hit]))
            self._tallies = ()
            for text in (*never, *missing):
                self._host.say(text, Level.WARNING)
        return []


def look_up_stops(trace: Trace, stops: list[Stop], count: int) -> StopHits:
    """Where stops hold among the first `count` records of a trace."""
    records = [trace.records[index] for index in range(count)]
    return tuple((stop.text, look_up(trace, stop, records)[0]) for stop in stops)


def _key(trace: Trace, hit: Hit) -> str:
    return trace.records[hit.index].key if hit.index < len(trace.records) else ""
