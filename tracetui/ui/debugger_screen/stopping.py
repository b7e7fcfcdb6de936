"""What the debugger does about stops, watches and health: every such command is an action here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from tracetui.analysis.health.marks import Marks, health_marks
from tracetui.debugger.driver import Driver
from tracetui.debugger.planes import place_of
from tracetui.debugger.session import Event, Finished, Fired, Opened, Stopped, Tallied
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.stop_book import Entry, StopBook
from tracetui.errors import InputError
from tracetui.expr.stop import Stop, parse_stop
from tracetui.expr.watch import FORM, parse_watch
from tracetui.expr.watcher import Hit, Tally
from tracetui.recording.record import Record
from tracetui.recording.sites import SitePattern, parse_pattern
from tracetui.recording.stepping import Step
from tracetui.recording.trace import Trace
from tracetui.text import visible
from tracetui.ui.debugger_screen.panes import PanesScreen
from tracetui.ui.debugger_screen.stop_answers import look_up_stops, read_limits
from tracetui.ui.dialogs.ask import AskScreen
from tracetui.ui.dialogs.health import FirstBadElement, HealthRead, HealthScreen, read_health
from tracetui.ui.dialogs.stops import NewStop, StopsScreen, ToHit
from tracetui.ui.messages import Said
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.modules.watch_list import WatchList
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.step_bar import StepBar
from tracetui.views.run.stops import hit_line, unfired_lines

MOST_REPEATS = 1000
_STEPS = {
    "into": Step.INTO,
    "over": Step.OVER,
    "out": Step.OUT,
    "layer": Step.LAYER,
    "pass": Step.LATER,
    "back": None,
}
"""What can be repeated, as it is typed: a layer further, a pass further, a record back."""

_OVERFLOWING = frozenset({"float16", "float8_e4m3fn", "float8_e5m2"})
_LOOKED_AT = 50
"""Records by which one sees in what dtype a model runs."""


class StoppingScreen(PanesScreen):
    """Panes with a driver behind them, and the commands about stops."""

    def __init__(self, offer: StartPage, keymap: Mapping[str, str]) -> None:
        super().__init__(offer, keymap)
        self._driver = Driver(offer.stops)
        self._asked: object = None
        self._tallies: tuple[Tally, ...] = ()
        self._sought: tuple[SitePattern, str] | None = None
        """The site that the model runs on to, and what is to be said if it ends before."""

    def _refresh(self, remark: str | None = "") -> None:
        """The driver's state on the screen, and its remark in the step line; None leaves the one that is there."""
        changed = self.state.stops is not self._driver.state.stops
        self.state = self._driver.state
        self._look_up()
        if changed and isinstance(self.app.screen, StopsScreen):
            self.app.screen.refresh_list()
        if remark is not None:
            self.query_one(StepBar).remark = remark

    def _look_up(self) -> None:
        """Have stops looked for among records that were made before them."""
        trace, entries = self.state.trace, self.state.stops.to_look_up
        asked = (trace, tuple((entry.stop.text, entry.unknown) for entry in entries))
        if entries and asked != self._asked:
            stops, count = [entry.stop for entry in entries], self._driver.recorded
            then = partial(self._looked_up, count)
            read_in_background(self, "stops", partial(look_up_stops, trace, stops, count), then, self._trace)
        self._asked = asked

    def _trace(self) -> Trace:
        return self.state.trace

    def _looked_up(self, count: int, stops: tuple[tuple[str, tuple[Hit, ...]], ...]) -> None:
        """Where stops hold among the first `count` records."""
        before = self.state.cursor
        for text, hits in stops:
            self._driver.looked_up(text, count, hits)
        self._refresh(None if self._driver.state.cursor == before else "")

    def hear_stops(self, event: Event) -> list[str]:
        """What an event says of stops, for the log."""
        if isinstance(event, Fired):
            return [f"stop {hit_line(hit)}: {visible(_key(self.state.trace, hit), 200)}" for hit in event.hits]
        if isinstance(event, Tallied):
            self._tallies = event.tallies
        elif isinstance(event, Stopped):
            self._sought = None
        elif isinstance(event, Finished) and not event.cancelled:
            book = self._driver.state.stops
            hit = {entry.stop.text for entry in book.entries if entry.hits or entry.unknown}
            never = list(unfired_lines([tally for tally in self._tallies if tally.stop.text not in hit]))
            if self._sought is not None and not self._sought[0].matches(event.trace.records[-1].site):
                never.append(self._sought[1])
            self._tallies, self._sought = (), None
            if never:
                self.post_message(Said("\n".join(never)))
            if any(record.dtype in _OVERFLOWING for record in event.trace.records[:_LOOKED_AT]):
                read_in_background(self, "limits", partial(read_limits, event.trace), self._say_if_any)
        return []

    def _say_if_any(self, text: str) -> None:
        if text:
            self.post_message(Said(text))

    def diagnose_hits(self, event: Event) -> None:
        """Where values stopped being numbers, who made it is shown at once."""
        if isinstance(event, Fired):
            bad = next((hit for hit in event.hits if hit.stop.watches_health), None)
            if bad is not None:
                self._read_health(self.state.trace.records[bad.index])
        elif isinstance(event, Opened) and not event.trace.dump:
            # A trace file has the statistics that tell; of a script's tensors all would have to be read.
            self.mark_health()
        elif isinstance(event, Finished) and self.state.health:
            self.mark_health()

    def action_health(self) -> None:
        """Who made the NaN or the infinity in the record under the cursor."""
        if self.state.cursor >= 0:
            self._read_health(self.state.record)

    def _read_health(self, record: Record) -> None:
        read_in_background(self, "health", partial(read_health, self.state.trace, record), self._show_health)

    def _show_health(self, health: HealthRead) -> None:
        if health.diagnosis is not None:
            self.mark_health()
        if self.is_current and health.trace is self.state.trace:
            self.app.push_screen(HealthScreen(health), self._to_origin)

    def _jumped(self, index: int | None) -> None:
        if index is not None:
            self._refresh(self._driver.jump(index))

    def _to_origin(self, origin: FirstBadElement | None) -> None:
        """To the record that made it, with its first bad element on view."""
        if origin is None:
            return
        remark = self._driver.jump(origin.index)
        if origin.element is not None and self._driver.state.cursor == origin.index:
            state = self._driver.state
            place = place_of(state.record, state.trace.run.config, origin.element, state.head, state.batch)
            self._driver.state = replace(state, head=place.head, batch=place.batch)
            self.call_after_refresh(self.query_one(ValueGrid).go_to, place.row, place.column)
        self._refresh(remark)

    def mark_health(self) -> None:
        """Have the tree and the list of records mark who made what isn't finite, and who passes it on."""
        work = partial(health_marks, self.state.trace, self.state.frontier)
        read_in_background(self, "health marks", work, self._show_marks, self._trace)

    def _show_marks(self, marks: Marks) -> None:
        self._driver.state = replace(self._driver.state, health=marks)
        self._refresh(None)

    def _change_stops(self, stops: StopBook, remark: str) -> None:
        self._driver.set_stops(stops)
        self._refresh(remark)

    def add_stop(self, stop: Stop) -> None:
        """One stop more, or the one that stands already switched on."""
        entry = self.state.stops.find(stop.text)
        book = self.state.stops.with_stop(stop) if entry is None else self.state.stops.switched(stop.text, True)
        self._change_stops(book, f"stop at {stop.text}")

    def action_stop(self) -> None:
        """A stop at the tree's line where the tree has the keys, else at the record looked at; again takes it away."""
        tree = self.query_one(ModuleList)
        text = tree.stop_pattern if tree.has_focus else self.state.record.site
        if not text:
            self._refresh("these layers are not run" if tree.has_focus else "there is no record to stop at yet")
            return
        stop = parse_stop(text)
        if self.state.stops.find(stop.text) is not None:
            self._change_stops(self.state.stops.without(stop.text), f"no stop at {stop.text} any more")
        else:
            self.add_stop(stop)

    def action_condition(self) -> None:
        """Type a stop: a site, a condition, or both."""
        tree = self.query_one(ModuleList)
        site = (tree.stop_pattern if tree.has_focus else self.state.record.site) or "*"
        hint = "SITE if CONDITION, such as *.mlp if norm > 3 * prev.norm; the help (?) lists the names"
        self.app.push_screen(AskScreen("Stop where", hint, parse_stop, f"{site} if "), self._stop_typed)

    def _stop_typed(self, typed: str | None) -> None:
        if typed is not None:
            self.add_stop(parse_stop(typed))

    def action_stops(self) -> None:
        def book() -> StopBook:
            return self._driver.state.stops

        self.app.push_screen(StopsScreen(book, self._changed, self.state.cursor), self._stops_left)

    def _changed(self, entry: Entry, on: bool | None) -> None:
        text, book = entry.stop.text, self.state.stops
        self._change_stops(book.without(text) if on is None else book.switched(text, on), "")

    def _stops_left(self, answer: ToHit | NewStop | None) -> None:
        if isinstance(answer, ToHit):
            self._refresh(self._driver.jump(answer.index))
        elif isinstance(answer, NewStop):
            self.action_condition()

    def action_until(self) -> None:
        """On to a site that is typed."""
        hint = "a site, such as layers.7.mlp or *.gate; runs on to its next record"
        self.app.push_screen(AskScreen("Run until", hint, _check_site), self._until_typed)

    def _until_typed(self, typed: str | None) -> None:
        if typed is not None:
            self._run_until(typed.strip())

    def action_run_to_line(self) -> None:
        """On to the record of the tree's line."""
        text = self.query_one(ModuleList).stop_pattern
        if not text:
            self._refresh("this line has no record to run to")
            return
        record = self.state.trace.find(text)
        if record is not None and record.index <= self.state.cursor:
            self._refresh(f"{text} has run already; Enter in the tree goes to its record")
            return
        self._run_until(text)

    def _run_until(self, site: str) -> None:
        pattern, missing = parse_pattern(site, "until"), f"no record after this one is at {visible(site, 200)}"
        remark = self._driver.until(lambda record: pattern.matches(record.site), missing)
        self._sought = (pattern, missing) if self._driver.state.running else None
        self._refresh(remark)

    def action_repeat(self) -> None:
        """A step so many times."""
        hint = f"how often and which step, such as 5 over: {', '.join(_STEPS)}; up to {MOST_REPEATS} times"
        self.app.push_screen(AskScreen("Repeat a step", hint, _repetition), self._repeat_typed)

    def _repeat_typed(self, typed: str | None) -> None:
        if typed is not None:
            count, step = _repetition(typed)
            self._refresh(self._driver.repeat(step, count) if step is not None else self._driver.back(count))

    def action_watch(self) -> None:
        """Type what is to be looked at again at every stop."""
        title = "Watch (typed again: no more)"
        site = self.state.record.site
        self.app.push_screen(AskScreen(title, FORM, parse_watch, f"{site}.norm" if site else ""), self._watch_typed)

    def _watch_typed(self, typed: str | None) -> None:
        if typed is not None:
            stands = self.query_one(WatchList).toggle(parse_watch(typed))
            self._refresh("" if stands else f"{typed.strip()} is watched no more")


def _key(trace: Trace, hit: Hit) -> str:
    return trace.records[hit.index].key if hit.index < len(trace.records) else ""


def _check_site(typed: str) -> None:
    parse_pattern(typed, "until")


def _repetition(typed: str) -> tuple[int, Step | None]:
    """`5 over` → 5 and the step, None for back; a number alone is of steps over. Raises InputError."""
    words = typed.split()
    if words and words[0].isdecimal() and len(words[0]) < 6 and len(words) <= 2:
        count, name = int(words[0]), (words[1] if len(words) > 1 else Step.OVER.value)
        if 1 <= count <= MOST_REPEATS and name in _STEPS:
            return count, _STEPS[name]
    raise InputError(f"a number from 1 to {MOST_REPEATS} and one of {', '.join(_STEPS)}, such as 5 over")
