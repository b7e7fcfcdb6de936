"""The upper half of the tensor pane: where the record comes from, its statistics and its histogram."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rich.style import Style
from textual.geometry import Size

from tracetui.analysis.axes import describe, describe_shape, split_heads
from tracetui.analysis.distribution.distribution import Distribution
from tracetui.analysis.distribution.histogram import HistogramScale
from tracetui.analysis.health.diagnosis import NearLimit
from tracetui.recording.record import Record
from tracetui.recording.spill import whereabouts
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.text import count, statistic
from tracetui.ui.painting.drawings import Drawing, Same
from tracetui.ui.panes.tensor.reading import Reading
from tracetui.ui.widgets.canvas import Canvas, Patience
from tracetui.views.cells import Line, blank, fit_end, line
from tracetui.views.charts.histogram import histogram_lines
from tracetui.views.finite import finite_words
from tracetui.views.inks import Inks
from tracetui.views.parts import fitted, part
from tracetui.views.place import outlier_line
from tracetui.views.run.ranks import odd_ranks

_NAMES = 20
"""Cells that the names of three columns take."""
_SIDE_BY_SIDE = 76
_TABLE = 46
_ROWS, _NARROW_ROWS = 4, 6
"""Of three columns, and of two where three would cut their numbers."""


_Entry = tuple[str, float | None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How many rows each part gets."""

    facts: int
    rows: int
    """Of the table."""
    side: bool
    """Whether the histogram stands beside the table."""
    histogram: int
    outliers: int
    """Whether a line has room that says where the largest element is."""
    air: int

    @property
    def height(self) -> int:
        return self.facts + self.rows + self.histogram + self.outliers + 2 * self.air


class Summary(Canvas):
    """Site, shape, dtype, provenance and seconds at once; the numbers when they are read."""

    def __init__(self) -> None:
        super().__init__(id="summary")
        self._trace: Trace | None = None
        self._record: Record | None = None
        self._reading: Reading | None = None
        self.scale: HistogramScale | None = None
        """Of the histogram, as the user chose it; None: whatever fits."""
        self._brief = False
        self._patience = Patience(self, self._paint_without)

    def drawing(self) -> Drawing | None:
        if self._reading is None:
            return None
        return Drawing(Same(self._reading), (self.scale, self._brief, self.screen.size.height))

    def draw_ahead(self, reading: Reading) -> None:
        """Keep what would be drawn of another record."""
        shown = self._trace, self._record, self._reading
        self._trace, self._record, self._reading = reading.trace, reading.record, reading
        try:
            self.draw_aside()
        finally:
            self._trace, self._record, self._reading = shown

    def show_record(self, trace: Trace, record: Record) -> None:
        """Show the record's own facts and clear the last record's numbers, so that none stands beside a wrong name.

        Nothing is painted for a moment: the numbers mostly come at once, and a blank between two records flickers.
        """
        if trace is not self._trace:
            self.forget_drawings()
        self._trace, self._record, self._reading = trace, record, None
        self._patience.begin()

    def _paint_without(self) -> None:
        if self._reading is None:
            self.repaint()

    def show_reading(self, reading: Reading) -> None:
        """Show all of a record."""
        if reading.trace is not self._trace:
            self.forget_drawings()
        self._trace, self._record, self._reading = reading.trace, reading.record, reading
        self.repaint()

    @property
    def brief(self) -> bool:
        """Whether table and histogram make room for a map on a low screen."""
        return self._brief

    @brief.setter
    def brief(self, brief: bool) -> None:
        self._brief = brief
        self._drawn_for = None
        self.refresh(layout=True)

    def switch_scale(self) -> bool:
        """Go on to the histogram's next scale, or back to whatever fits each tensor; False if there is no histogram."""
        elements = self._reading and self._reading.distribution
        if not elements:
            return False
        scales = list(elements.histograms)
        after = scales[(scales.index(_shown_scale(elements, self.scale)) + 1) % len(scales)]
        self.scale = None if after is elements.fitting else after
        self.repaint()
        return True

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self._plan(width, viewport.height).height

    def _plan(self, width: int, screen: int) -> _Plan:
        """What has room: on a low screen the values below matter more than the histogram."""
        side = width >= _SIDE_BY_SIDE
        histogram = 0 if side or screen < 20 else (5 if screen >= 30 else 3)
        rows = _ROWS if width >= _TABLE or screen < 20 else _NARROW_ROWS
        low = screen < 20
        if self.brief and screen < 30:
            return _Plan(2 if low else 3, 0, False, 0, outliers=int(not low), air=0)
        return _Plan(2 if low else 3, rows, side, histogram, outliers=int(not low), air=int(screen >= 30))

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        if self._record is None or self._trace is None:
            return []
        plan = self._plan(width, self.screen.size.height)
        lines = [
            *_facts(self._trace, self._record, self._reading, width, inks)[3 - plan.facts :],
            *[blank(width)] * plan.air,
        ]
        if self._reading is None:
            return lines
        lines += _numbers(self._reading, self.scale, width, plan, inks) if plan.rows else []
        return [*lines, *_outliers(self._reading, width, inks)] if plan.outliers else lines


def _facts(trace: Trace, record: Record, reading: Reading | None, width: int, inks: Inks) -> list[Line]:
    axes = describe_shape(record, trace.run)
    heads = split_heads(record, trace.run.config)
    seen = f"  {describe(heads)} by head" if heads else ""
    before, near = (None, None) if reading is None else (reading.before, reading.near)
    facts = [record.dtype, *filter(None, [whereabouts(trace.value(record))])]
    if reading is not None:
        facts += filter(None, [finite_words(reading.statistics)])
    if record.edited:
        facts.append("edited")
        if before is not None:
            facts.extend((f"was L2 {statistic(before.l2)}", f"was |max| {statistic(before.absmax)}"))
    if record.provenance:
        facts.append(f"weights {record.provenance}")
    if record.seconds is not None:
        facts.append(seconds(record.seconds))
    facts.append(f"pass {record.pass_}" + (f" call {record.call}" if record.call else ""))
    return [
        line([(f" {fit_end(record.key, width - 1)}", inks.text + Style(bold=True))], width),
        line([(f" {axes}", inks.mark), (seen, inks.quiet)], width),
        _told_line(facts, f"{_unlike(trace, record)}{'' if near is None else _near(near)}", width, inks),
    ]


def _unlike(trace: Trace, record: Record) -> str:
    unlike = trace.unlike_replicas.get(record.key)
    return "" if unlike is None else f" ≠ {odd_ranks(unlike)}"


def _near(near: NearLimit) -> str:
    """`0.391% near overflow`: within 2× of it."""
    share = "some" if near.share is None else f"{100 * near.share:.3g}%"
    return f" {share} near overflow "


def _told_line(facts: list[str], alarm: str, width: int, inks: Inks) -> Line:
    """The facts, behind an alarm where there is one."""
    return line([(alarm, inks.inf), (_told(facts, width - len(alarm)), inks.quiet)], width)


def _told(facts: list[str], width: int) -> str:
    """As many whole facts as fit: later facts are dropped before earlier ones, and the pass last."""
    ranked = [part(f" · {fact}", "", rank=place) for place, fact in enumerate(facts[1:-1], 1)]
    return "".join(fitted([part(f" {facts[0]}"), *ranked, part(f" · {facts[-1]}", "")], width))


def _numbers(reading: Reading, scale: HistogramScale | None, width: int, plan: _Plan, inks: Inks) -> list[Line]:
    elements, kurtosis = reading.distribution, math.nan
    if elements is None:
        return _table(reading.statistics, kurtosis, width, plan.rows, inks)
    kurtosis = elements.outliers.kurtosis
    if not plan.side:
        picture = _histogram(elements, scale, width - 2, plan.histogram, inks)
        table = _table(reading.statistics, kurtosis, width, plan.rows, inks)
        return table + [[*blank(1), *row] for row in picture]
    table = _table(reading.statistics, kurtosis, _TABLE, plan.rows, inks)
    picture = _histogram(elements, scale, width - _TABLE - 3, _ROWS, inks)
    return [left + blank(2) + right for left, right in zip(table, picture, strict=True)]


def _outliers(reading: Reading, width: int, inks: Inks) -> list[Line]:
    elements = reading.distribution
    return [] if elements is None else [outlier_line(reading.trace, reading.record, elements.outliers, width, inks)]


def _shown_scale(elements: Distribution, chosen: HistogramScale | None) -> HistogramScale:
    """The scale chosen, or where the tensor has no such one, that which fits."""
    return chosen if chosen is not None and chosen in elements.histograms else elements.fitting


def _histogram(
    elements: Distribution, chosen: HistogramScale | None, width: int, height: int, inks: Inks
) -> list[Line]:
    scale = _shown_scale(elements, chosen)
    told = "" if scale is HistogramScale.LINEAR else str(scale)
    return histogram_lines(elements.histograms[scale], width, height, inks, told=told)


def _table(statistics: Statistics, kurtosis: float, width: int, rows: int, inks: Inks) -> list[Line]:
    """Size and spread, extremes, and what is no ordinary number: four rows of three, else of two, so many as fit."""
    spread: list[_Entry] = [
        ("L2", statistics.l2),
        ("mean", statistics.mean),
        ("std", statistics.std),
        ("size", statistics.numel),
    ]
    extremes: list[_Entry] = [
        ("min", statistics.min),
        ("max", statistics.max),
        ("|max|", statistics.absmax),
        ("kurt", kurtosis),
    ]
    odd: list[_Entry] = [
        ("NaN", statistics.nan),
        ("+Inf", statistics.posinf),
        ("-Inf", statistics.neginf),
        ("zeros", statistics.zeros),
    ]
    columns, rooms = [spread, extremes, odd], [10, 10, 0]
    if width < _TABLE and rows == _NARROW_ROWS:
        columns = [[*spread, *odd[:2]], [*extremes[:3], *odd[3:1:-1], extremes[3]]]
    elif width < _TABLE:
        rooms = [max(len(_shown(value)) for _, value in column) for column in columns]
        if _NAMES + sum(rooms) > width:
            columns, rooms = [[*spread[:2], *odd[:2]], [*extremes[:2], *odd[2:]]], [10, 10]
    alarms = {"NaN": inks.nan, "+Inf": inks.inf, "-Inf": inks.inf}
    return [_table_row(row, rooms, alarms, width, inks) for row in zip(*columns, strict=True)]


def _shown(value: float | None) -> str:
    return "" if value is None else (count(value) if isinstance(value, int) else statistic(value))


def _table_row(row: tuple[_Entry, ...], rooms: list[int], alarms: Mapping[str, Style], width: int, inks: Inks) -> Line:
    parts: list[tuple[str, Style]] = []
    for place, (name, value) in enumerate(row):
        text = _shown(value) if place == len(row) - 1 else f"{_shown(value):<{rooms[place]}}"
        parts.append((f" {name:<{5 if place else 4}} ", inks.quiet))
        parts.append((text, alarms.get(name, inks.text) if value else inks.text))
    return line(parts, width)


def seconds(elapsed: float) -> str:
    """A wall time in the unit that suits it: `1.3 ms`."""
    if elapsed >= 1:
        return f"{elapsed:.2f} s"
    return f"{elapsed * 1e3:.3g} ms" if elapsed >= 1e-3 else f"{elapsed * 1e6:.3g} µs"
