"""The whole run below the step line: click, drag and wheel go through it."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from tracetui.analysis.health.diagnosis import HealthPart
from tracetui.analysis.timeline.columns import NO_COLUMNS, TimelineColumns
from tracetui.analysis.timeline.timeline import Timeline
from tracetui.debugger.state import ScreenState
from tracetui.recording.trace import Trace
from tracetui.ui.messages import Jump
from tracetui.ui.painting.drawings import Drawing, Same
from tracetui.ui.reader import read_in_background
from tracetui.ui.terminal.colours import depth_of
from tracetui.ui.widgets.canvas import StateCanvas
from tracetui.ui.widgets.list_keys import FAR
from tracetui.views.cells import Line
from tracetui.views.charts.timeline import Film, columns_room, film_lines, gutter
from tracetui.views.heatmap.depth import Depth
from tracetui.views.inks import Inks

_FAR_STEP = 10
_TELL_SECONDS = 0.15
"""Between two pictures of a long recording that is being gone through."""


class TimelineBar(StateCanvas, can_focus=True):
    """A column goes to the record in it that is seen: the first broken one, else the largest."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "the column before", show=False, id="move_left"),
        Binding("right,l", "move(1)", "the next column", show=False, id="move_right"),
        Binding("shift+left,pageup", f"move(-{_FAR_STEP})", "ten columns back", show=False, id="page_left"),
        Binding("shift+right,pagedown", f"move({_FAR_STEP})", "ten columns on", show=False, id="page_right"),
        Binding("g", f"move({-FAR})", "the first column", show=False, id="move_first"),
        Binding("G", f"move({FAR})", "the last column", show=False, id="move_last"),
    ]

    def __init__(self) -> None:
        super().__init__(id="timeline")
        self._timeline = Timeline()
        self._columns: TimelineColumns = NO_COLUMNS
        self._columns_of: object = None
        self._marks_of: tuple[object, ...] = ()
        self._marks = (frozenset[int](), frozenset[int]())
        self._target = -1
        """The record to go to, as soon as what came with it has been heard."""

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        super().watch_state(old, state)
        if state.frontier:
            # Before the first record its room is the first screen's.
            self.add_class("-any")
        if not self._timeline.is_of(state.trace, state.frontier):
            self._timeline = Timeline()
        if self._timeline.count < state.frontier:
            self._read(state.trace, state.frontier)
        if state.cursor != old.cursor and state.cursor >= self._timeline.count:
            # It is painted once its norm is known.
            return
        if (state.cursor, state.phase) != (old.cursor, old.phase) or not _same(_marks_of(state), _marks_of(old)):
            self.repaint()

    def _read(self, trace: Trace, frontier: int) -> None:
        timeline = self._timeline
        read_in_background(
            self, "timeline", partial(self._extend, timeline, trace, frontier), self._show, lambda: self._timeline
        )

    def _extend(self, timeline: Timeline, trace: Trace, frontier: int) -> None:
        """In a thread."""
        worker, told = get_current_worker(), time.monotonic()

        def tell() -> None:
            nonlocal told
            if time.monotonic() - told >= _TELL_SECONDS and not worker.is_cancelled:
                told = time.monotonic()
                self.call_later(self.repaint)

        timeline.extend(trace, frontier, lambda: worker.is_cancelled, tell)

    def _show(self, _: None) -> None:
        self.repaint()

    def drawing(self) -> Drawing:
        state, columns = self.state, self._fit(self.size.width)
        return Drawing((columns, state.cursor, state.stops, Same(state.health), self.has_focus))

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        columns = self._fit(width)
        flags, made = self._marked(columns)
        cursor = self.state.cursor
        norm = self._timeline.norm(cursor)
        film = Film(columns, columns.column_of(cursor), norm, flags, made, has_keys=self.has_focus)
        # In 16 colours a pass' ground would be the bars' own.
        return film_lines(film, width, height, replace(inks, track=Style.null()) if self._has_few_colours else inks)

    @property
    def _has_few_colours(self) -> bool:
        return depth_of(self.app) is Depth.NONE

    def _fit(self, width: int) -> TimelineColumns:
        """The columns that have room, made once for all that stands in them."""
        grows = self.state.under_way
        asked_for = (self._timeline, self._timeline.count, width, grows)
        if asked_for != self._columns_of:
            self._columns_of = asked_for
            self._columns = self._timeline.columns(columns_room(width), grows)
        return self._columns

    def _marked(self, columns: TimelineColumns) -> tuple[frozenset[int], frozenset[int]]:
        """The columns with stops that held, and with records that made a NaN."""
        marks_of = (columns, *_marks_of(self.state))
        if not _same(self._marks_of, marks_of):
            self._marks_of = marks_of
            stops = [columns.holding(entry.places) for entry in self.state.stops.active if entry.hits]
            made = [index for index, part in self.state.health.items() if part is HealthPart.PRODUCES]
            self._marks = (frozenset[int]().union(*stops), columns.holding(sorted(made)))
        return self._marks

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def action_move(self, by: int) -> None:
        """So many columns on."""
        columns = self._columns
        if not len(columns):
            return
        index = self._target if self._target >= 0 else self.state.cursor
        self._go_to(max(0, min(len(columns) - 1, columns.column_of(index) + by)))

    def _go_to(self, column: int) -> None:
        """To the record of a column; of several that are asked for at once only the last is shown."""
        first, end = self._columns.edges[column : column + 2].tolist()
        waits, self._target = self._target >= 0, self._timeline.most_telling(first, end)
        if not waits:
            self.call_later(self._go)

    def _go(self) -> None:
        index, self._target = self._target, -1
        self.post_message(Jump(index))

    def _at(self, event: events.MouseEvent) -> None:
        if len(self._columns):
            self._go_to(max(0, min(len(self._columns) - 1, event.x - gutter(self.size.width))))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self._at(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.app.mouse_captured is self:
            self._at(event)

    def on_mouse_up(self) -> None:
        self.release_mouse()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)


def _marks_of(state: ScreenState) -> tuple[object, ...]:
    """What decides the marks beside the run itself."""
    return state.stops, state.health


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Whether both hold the very same objects: they may be large."""
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
