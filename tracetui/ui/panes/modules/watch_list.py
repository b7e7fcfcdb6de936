"""The watches under the module tree: each with its value here and a line over the layers."""

from __future__ import annotations

from functools import partial

import numpy as np
from textual.reactive import reactive

from tracetui.analysis.distribution.robust_range import by_decades
from tracetui.debugger.state import ScreenState
from tracetui.expr.watch import Watch, Watched, look_at
from tracetui.text import number
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.canvas import Canvas
from tracetui.views.cells import Line, fit, line
from tracetui.views.charts.lines import line_chart
from tracetui.views.inks import Inks

_VALUE = 11
_CHARTS = (12, 8, 6)
"""Widths of a line over the layers: the widest that leaves a watch room for its name."""
_NAME = 10
_NUMBERS = 8
"""Of a part of a tensor, how many are shown."""


class WatchList(Canvas):
    """Nothing while there are no watches; looked at again whenever the cursor or the frontier has moved."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    def __init__(self) -> None:
        super().__init__(id="watches")
        self.watches: tuple[Watch, ...] = ()
        self._found: dict[str, Watched] = {}

    def toggle(self, watch: Watch) -> bool:
        """Add a watch, or take it away if it stands already; whether it stands now."""
        stood = watch in self.watches
        self.watches = tuple(one for one in self.watches if one != watch) if stood else (*self.watches, watch)
        # A line each, a title, and the rule above it.
        self.styles.height = len(self.watches) + 2
        self.set_class(bool(self.watches), "-any")
        self._look()
        return not stood

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        if self.watches and (state.trace, state.cursor, state.frontier) != (old.trace, old.cursor, old.frontier):
            self._look()

    def _look(self) -> None:
        self.repaint()
        if self.watches and self.state.frontier:
            known = {text: watched for text, watched in self._found.items() if watched.scanned <= self.state.frontier}
            read_in_background(self, "watches", partial(_read, self.watches, self.state, known), self._show)

    def _show(self, values: tuple[Watched, ...]) -> None:
        self._found = {watched.watch.text: watched for watched in values if watched.trace is self.state.trace}
        self.repaint()

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        title = line([(fit(" Watches", width), inks.quiet)], width)
        return [title, *(self._line(watch, width, inks) for watch in self.watches)]

    @property
    def _widest(self) -> int:
        """Characters of the longest value, so that the lines over the layers stand under each other."""
        return max((len(_shown(watched)) for watched in self._found.values() if watched.current is not None), default=0)

    def _line(self, watch: Watch, width: int, inks: Inks) -> Line:
        watched = self._found.get(watch.text)
        if watched is None or watched.current is None:
            absence = "…" if watched is None else "no such site yet"
            return line(
                [(f" {fit(watch.text, width - len(absence) - 3)} ", inks.text), (f"{absence} ", inks.quiet)], width
            )
        if watched.part is not None:
            absence = " ".join(number(float(value)) for value in watched.part.reshape(-1)[:_NUMBERS])
            room = max(_VALUE, width // 2)
            return line([(f" {fit(watch.text, width - room - 2)} ", inks.text), (fit(absence, room), inks.mark)], width)
        text = _shown(watched)
        room = min(_VALUE, self._widest + 2)
        chart = (
            next((wide for wide in _CHARTS if width - room - wide - 2 >= _NAME), 0) if len(watched.points) > 1 else 0
        )
        points = [(point.label, point.value) for point in watched.points]
        log = bool(chart) and by_decades(np.array([value for _, value in points], np.float64))
        picture = line_chart(points, chart, 1, inks, current=watched.current, log=log)[0] if chart else []
        axis = "log " if log else ""
        # Beside it is the divider: no cell has to stay blank.
        value = room - 1
        name = fit(watch.text, width - chart - value - 2 - len(axis))
        left = line([(f" {name} ", inks.text), (axis, inks.quiet)], width - chart - value)
        return [*left, *picture, *line([(fit(text, value, right=True), inks.mark)], value)]


def _shown(watched: Watched) -> str:
    if watched.current is None or watched.part is not None:
        return ""
    value = watched.points[watched.current].value
    return "–" if value != value else number(value)


def _read(watches: tuple[Watch, ...], state: ScreenState, known: dict[str, Watched]) -> tuple[Watched, ...]:
    trace, count, cursor = state.trace, state.frontier, state.cursor
    return tuple(look_at(watch, trace, count, cursor, known.get(watch.text)) for watch in watches)
