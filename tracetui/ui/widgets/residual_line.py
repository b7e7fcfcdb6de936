"""The residual stream's norm through the layers, with the point where the cursor stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from rich.segment import Segment
from textual import events
from textual.reactive import reactive

from tracetui.analysis.residual import ResidualPoint, broken_from, residual_norms
from tracetui.debugger.state import ScreenState
from tracetui.recording.trace import Trace
from tracetui.text import number
from tracetui.ui.messages import Jump
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.canvas import Canvas
from tracetui.views.cells import Line, fit, line
from tracetui.views.charts.lines import line_chart
from tracetui.views.inks import Inks

_LABEL = 16


@dataclass(frozen=True, eq=False, slots=True)
class Norms:
    """The points of one prompt and pass in the trace's first `frontier` records."""

    trace: Trace
    frontier: int
    row: int
    """Which prompt of a batch."""
    pass_: int
    points: tuple[ResidualPoint, ...]


NO_NORMS = Norms(ScreenState().trace, 0, 0, 0, ())


class ResidualLine(Canvas):
    """One to some rows of `‖residual‖`; a click goes to the nearest point."""

    state: reactive[ScreenState] = reactive(ScreenState())

    def __init__(self) -> None:
        super().__init__(id="residual")
        self._norms = NO_NORMS

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        fresh = state.trace is not old.trace or (state.batch, state.record.pass_) != (old.batch, old.record.pass_)
        if fresh:
            self._norms = NO_NORMS
        if state.frontier and (fresh or state.frontier != old.frontier):
            known = self._norms.points if self._norms.frontier <= state.frontier else ()
            work = partial(_read, state.trace, state.frontier, state.batch, state.record.pass_, known)
            read_in_background(self, "residual", work, self._show, self._on_view)
        self.repaint()

    def _on_view(self) -> tuple[object, ...]:
        return self.state.trace, self.state.batch, self.state.record.pass_

    def _show(self, norms: Norms) -> None:
        self._norms = norms
        self.repaint()

    def on_click(self, event: events.Click) -> None:
        points = self._norms.points
        if points and self.size.width > _LABEL:
            at = (event.x - _LABEL) / max(1, self.size.width - _LABEL - 1)
            self.post_message(Jump(points[max(0, min(len(points) - 1, round(at * (len(points) - 1))))].index))

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        points = self._norms.points
        current = here(points, self.state.cursor)
        heading = _heading(points, current, self.state)
        if not points:
            return [line([(f" {heading[0]}", inks.quiet)], width)]
        chart = line_chart(
            [(point.label, point.l2) for point in points], width - _LABEL - 1, height, inks, current=current
        )
        labels = [heading[row] if row < len(heading) else "" for row in range(height)]
        if height == 1:
            labels = [f"‖x‖ {heading[2] if heading[1].startswith('–') else heading[1]}"]
        inked = [inks.quiet, inks.mark, inks.mark]
        return [
            [Segment(fit(f" {label}", _LABEL), inked[min(row, 2)] if height > 1 else inks.quiet), *picture]
            for row, (label, picture) in enumerate(zip(labels, chart, strict=True))
        ]


def _read(trace: Trace, frontier: int, row: int, pass_: int, known: tuple[ResidualPoint, ...]) -> Norms:
    so_far = replace(trace, records=trace.records[:frontier], values=trace.values[:frontier])
    return Norms(trace, frontier, row, pass_, residual_norms(so_far, row, known, pass_))


def here(points: Sequence[ResidualPoint], cursor: int) -> int | None:
    """The last point at or before the cursor."""
    return max((place for place, point in enumerate(points) if point.index <= cursor), default=None)


def _heading(points: Sequence[ResidualPoint], current: int | None, state: ScreenState) -> tuple[str, str, str]:
    name = _name(state.batch if len(state.trace.tokens) > 1 else None, state.record.pass_)
    if current is None:
        return (name, "", "")
    broken = broken_from(points)
    if broken is not None and broken.index <= points[current].index:
        # Whoever looks behind it sees where the stream was lost.
        return (name, f"– {_place(points[current].label)}", f"NaN from {broken.label}")
    return (name, number(points[current].l2), _place(points[current].label))


def _name(row: int | None, pass_: int) -> str:
    """Whose norm it is: of a row of a batch, in a pass after the prompt's."""
    if pass_:
        return f"norm, pass {pass_}" if row is None else f"row {row}, pass {pass_}"
    return "residual norm" if row is None else f"norm of row {row}"


def _place(label: str) -> str:
    """`layer 3`, `layer 3 attn`, `embed`."""
    return f"layer {label}" if label[:1].isdigit() else f"at {label}"
