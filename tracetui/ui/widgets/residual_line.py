"""How large the residual stream is through the layers, with the point where the cursor stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from rich.segment import Segment
from textual import events

from tracetui.analysis.distribution.robust_range import by_decades
from tracetui.analysis.residual import ResidualPoint, broken_from
from tracetui.analysis.residual_tokens import MOST_TOKENS, NO_SIZES, ResidualMeasure, ResidualSizes, residual_sizes
from tracetui.debugger.state import ScreenState
from tracetui.recording.trace import Trace
from tracetui.text import number
from tracetui.ui.messages import Jump
from tracetui.ui.painting.drawings import Drawing
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.canvas import StateCanvas
from tracetui.views.cells import Line, fit, line
from tracetui.views.charts.lines import line_chart
from tracetui.views.inks import Inks

_LABEL = 18


@dataclass(frozen=True, eq=False, slots=True)
class Norms:
    """The points of one prompt and pass in the trace's first `frontier` records."""

    trace: Trace
    frontier: int
    row: int
    """Which prompt of a batch."""
    pass_: int
    token: int
    """The one that was asked for; -1 for none."""
    sizes: ResidualSizes = NO_SIZES
    log: bool = False
    """Whether their heights are logarithms."""

    @property
    def points(self) -> tuple[ResidualPoint, ...]:
        return self.sizes.points


NO_NORMS = Norms(ScreenState().trace, 0, 0, 0, -1)


class ResidualLine(StateCanvas):
    """One to some rows: an ordinary token's norm, or that of the token looked at; a click goes to the nearest point."""

    def __init__(self) -> None:
        super().__init__(id="residual")
        self._norms = NO_NORMS

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        super().watch_state(old, state)
        fresh = state.trace is not old.trace or (state.batch, state.record.pass_) != (old.batch, old.record.pass_)
        if fresh:
            self._norms = NO_NORMS
        if state.frontier and (fresh or (state.frontier, state.token) != (old.frontier, old.token)):
            wanted = Norms(state.trace, state.frontier, state.batch, state.record.pass_, state.token)
            work = partial(_read, wanted, self._norms)
            read_in_background(self, "residual", work, self._show, self._on_view)
        self.look_again()

    def drawing(self) -> Drawing:
        state, points = self.state, self._norms.points
        return Drawing(
            (self._norms, here(points, state.cursor), state.batch, len(state.trace.tokens) > 1, state.record.pass_)
        )

    def _on_view(self) -> tuple[object, ...]:
        return self.state.trace, self.state.batch, self.state.record.pass_, self.state.token

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
        heading = _heading(self._norms, current, self.state)
        if not points:
            return [line([(f" {heading[0]}", inks.quiet)], width)]
        pairs = [(point.label, point.l2) for point in points]
        chart = line_chart(pairs, width - _LABEL - 1, height, inks, current=current, log=self._norms.log)
        labels = [heading[row] if row < len(heading) else "" for row in range(height)]
        if height == 1:
            labels = [_short(self._norms, current, heading)]
        inked = [inks.quiet, inks.mark, inks.mark, inks.quiet]
        return [
            [Segment(fit(f" {label}", _LABEL), inked[min(row, 3)] if height > 1 else inks.quiet), *picture]
            for row, (label, picture) in enumerate(zip(labels, chart, strict=True))
        ]


def _read(wanted: Norms, before: Norms) -> Norms:
    """What is wanted, with the points that are known from before."""
    trace, frontier = wanted.trace, wanted.frontier
    so_far = replace(trace, records=trace.records[:frontier], values=trace.values[:frontier])
    is_same = before.token == wanted.token and before.frontier <= frontier
    known = before.points if is_same and before.sizes.measure is not ResidualMeasure.WHOLE else ()
    sizes = residual_sizes(so_far, wanted.row, wanted.token, known, wanted.pass_)
    log = by_decades(np.array([point.l2 for point in sizes.points], np.float64))
    return replace(wanted, sizes=sizes, log=log)


def here(points: Sequence[ResidualPoint], cursor: int) -> int | None:
    """The last point at or before the cursor."""
    return max((place for place, point in enumerate(points) if point.index <= cursor), default=None)


def _heading(norms: Norms, current: int | None, state: ScreenState) -> tuple[str, str, str, str]:
    """Whose norm, how large here, where that is, and what else is to be said of the line."""
    row = f"row {state.batch}" if len(state.trace.tokens) > 1 else ""
    pass_ = f"pass {state.record.pass_}" if state.record.pass_ else ""
    more = " · ".join(filter(None, ["log" if norms.log else "", row, pass_]))
    points = norms.points
    if current is None:
        return (_name(norms), "", "", more)
    broken = broken_from(points)
    if broken is not None and broken.index <= points[current].index:
        # Whoever looks behind it sees where the stream was lost.
        return (_name(norms), f"– {_place(points[current].label)}", f"NaN from {broken.label}", more)
    return (_name(norms), number(points[current].l2), _place(points[current].label), more)


def _name(norms: Norms) -> str:
    """Whose norm it is: the median token's, one token's, or that of all."""
    if not norms.points:
        return "residual norm"
    if norms.sizes.measure is ResidualMeasure.SINGLE:
        return f"token {norms.sizes.token} norm"
    if norms.sizes.measure is ResidualMeasure.WHOLE:
        return "all tokens' norm"
    return f"median of {MOST_TOKENS}" if norms.sizes.sampled else "median of tokens"


def _short(norms: Norms, current: int | None, heading: Sequence[str]) -> str:
    """As much as one row has room for: `median 12.3 log`, `tok 3 2.3e+04 log`."""
    is_token, is_whole = (norms.sizes.measure is one for one in (ResidualMeasure.SINGLE, ResidualMeasure.WHOLE))
    token = norms.sizes.token
    names = (f"token {token}", f"tok {token}") if is_token else ("all",) if is_whole else ("median", "med")
    lost = heading[1].startswith("–") or current is None
    sizes = (heading[2],) if lost else (heading[1], number(norms.points[current or 0].l2, 2))
    forms = (f"{name} {size}{' log' if norms.log else ''}" for size in sizes for name in names)
    return min(forms, key=lambda form: len(form) >= _LABEL)


def _place(label: str) -> str:
    """`layer 3`, `layer 3 attn`, `embed`."""
    return f"layer {label}" if label[:1].isdigit() else f"at {label}"
