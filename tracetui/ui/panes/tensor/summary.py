"""The upper half of the tensor pane: where the record comes from, its statistics and its histogram."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip

from tracetui.analysis.axes import describe, describe_shape, split_heads
from tracetui.analysis.distribution.histogram import HistogramScale
from tracetui.analysis.health.diagnosis import NearLimit
from tracetui.recording.record import Record
from tracetui.recording.spill import whereabouts
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.text import count, statistic
from tracetui.ui.painting.drawings import Drawing, Same
from tracetui.ui.panes.tensor.reading import Reading
from tracetui.ui.panes.tensor.shown_histogram import ShownHistogram, shown_scale
from tracetui.ui.panes.tensor.summary_plan import NARROW_ROWS, TABLE, SummaryPlan, summary_plan
from tracetui.ui.terminal.pictures import pictures_of
from tracetui.ui.theme.variables import inks
from tracetui.ui.widgets.canvas import Canvas, Patience
from tracetui.views.cells import Line, blank, fit_end, line
from tracetui.views.finite import finite_words
from tracetui.views.inks import Inks
from tracetui.views.parts import fitted, part
from tracetui.views.pixels.sketch import Sketch
from tracetui.views.place import outlier_line
from tracetui.views.run.ranks import odd_ranks

_NAMES = 20
"""Cells that the names of three columns take."""

_Entry = tuple[str, float | None]


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
        self._sketched: tuple[object, Sketch | None] = None, None
        """What the histogram's sketch was made for, and the sketch."""

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
        after = scales[(scales.index(shown_scale(elements, self.scale)) + 1) % len(scales)]
        self.scale = None if after is elements.fitting else after
        self.repaint()
        return True

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self._plan(width, viewport.height).height

    def _plan(self, width: int, screen: int) -> SummaryPlan:
        return summary_plan(width, screen, self._brief)

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

    def render_lines(self, crop: Region) -> list[Strip]:
        lines = super().render_lines(crop)
        self._offer_bars()
        return lines

    def notify_style_update(self) -> None:
        self._sketched = None, None
        super().notify_style_update()

    def _offer_bars(self) -> None:
        """The histogram's bars in pixels, of the record whose lines are on the screen."""
        pictures = pictures_of(self)
        if pictures is None or pictures.graphics is None:
            return
        if self._sketched[0] != (made_for := (self.on_screen, self.size)):
            self._sketched = made_for, self._sketch()
        sketch = self._sketched[1]
        pictures.offer(self, [sketch] if sketch else [], self._update_bars)

    def _update_bars(self) -> None:
        """Have the bars' place painted again: a picture is written behind an update of the screen."""
        if (sketch := self._sketched[1]) is not None:
            area = sketch.area
            self.refresh(Region(area.x, area.y, area.width, area.height))

    def _sketch(self) -> Sketch | None:
        elements, (width, height) = self._reading and self._reading.distribution, self.size
        plan = self._plan(width, self.screen.size.height)
        area = plan.histogram_area(width)
        if not elements or area.y + area.height > height:
            return None
        shown = ShownHistogram.of(elements, self.scale)
        return shown.sketch(area, inks(self.app.theme_variables), self.rich_style)


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


def _numbers(reading: Reading, scale: HistogramScale | None, width: int, plan: SummaryPlan, inks: Inks) -> list[Line]:
    elements, kurtosis = reading.distribution, math.nan
    if elements is None:
        return _table(reading.statistics, kurtosis, width, plan.rows, inks)
    kurtosis = elements.outliers.kurtosis
    picture = ShownHistogram.of(elements, scale).lines(plan.histogram_area(width), inks)
    if not plan.side:
        table = _table(reading.statistics, kurtosis, width, plan.rows, inks)
        return table + [[*blank(1), *row] for row in picture]
    table = _table(reading.statistics, kurtosis, TABLE, plan.rows, inks)
    return [left + blank(2) + right for left, right in zip(table, picture, strict=True)]


def _outliers(reading: Reading, width: int, inks: Inks) -> list[Line]:
    elements = reading.distribution
    return [] if elements is None else [outlier_line(reading.trace, reading.record, elements.outliers, width, inks)]


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
    if width < TABLE and rows == NARROW_ROWS:
        columns = [[*spread, *odd[:2]], [*extremes[:3], *odd[3:1:-1], extremes[3]]]
    elif width < TABLE:
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
