"""One number per layer as a line: braille dots with a scale beside it, or a row or two of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.style import Style

from tracetui.text import number, statistic, visible
from tracetui.views.cells import Line, blank, column, fit, line, runs
from tracetui.views.charts.braille import polyline
from tracetui.views.inks import Inks

Floats = npt.NDArray[np.float64]
Point = tuple[str, float]

_CURRENT, _BROKEN = "●", "×"
_NARROWEST_PICTURE = 8


def line_chart(
    points: Sequence[Point], width: int, height: int, inks: Inks, *, current: int | None = None, log: bool = False
) -> list[Line]:
    """`height` lines of `width` cells that show the points (label, value) from left to right.

    Up to two rows are blocks. From three on it is a braille line with the largest and smallest value beside it,
    from four on with labels below: the first, the current one and its value, the last. A value that is not
    finite leaves a gap with a cross. With `log` heights are logarithms, unless a value is zero or less.
    """
    if width <= 0 or height <= 0 or not points:
        return [blank(width) for _ in range(height)]
    chart = _Chart(tuple(points), np.array([value for _, value in points], np.float64), current, inks)
    heights = relative(chart.values, log)
    if height < 3:
        return _blocks(chart, heights, width, height)
    gutter = chart.gutter(width)
    rows = height - 1 if height > 3 else height
    picture = _picture(chart, heights, width - gutter, rows)
    lines = [[*chart.scale(row, rows, gutter), *parts] for row, parts in enumerate(picture)]
    return [*lines, _labels(chart, width, gutter)] if height > 3 else lines


@dataclass(frozen=True, eq=False, slots=True)
class _Chart:
    points: tuple[Point, ...]
    values: Floats
    """[points]"""
    current: int | None
    inks: Inks

    @property
    def extent(self) -> tuple[float, float] | None:
        finite = self.values[np.isfinite(self.values)]
        return (float(finite.min()), float(finite.max())) if len(finite) else None

    def gutter(self, width: int) -> int:
        """Cells that the scale takes, or 0 where it would leave no picture."""
        if self.extent is None:
            return 0
        cells = max(len(number(end)) for end in self.extent) + 2
        return cells if width - cells >= _NARROWEST_PICTURE else 0

    def scale(self, row: int, rows: int, gutter: int) -> Line:
        if not gutter or self.extent is None:
            return []
        low, high = self.extent
        # All alike stand half-way, and so does their one number.
        ticks = (
            {0: number(high), rows - 1: number(low)} if low < high else {round((4 * rows - 1) / 2) // 4: number(high)}
        )
        named = ticks.get(row, "")
        parts = [(fit(named, gutter - 2, right=True), self.inks.quiet), (" ┤" if named else " │", self.inks.rule)]
        return line(parts, gutter)


def relative(values: Floats, log: bool) -> Floats:
    """Values [points] as heights from 0 to 1, NaN where not finite; all alike stand half-way."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full_like(values, np.nan)
    heights = np.where(finite, values, np.nan) / 2  # halved: the range of two large values may have no number
    if log and np.nanmin(heights) > 0:
        heights = np.log(heights)
    low, high = np.nanmin(heights), np.nanmax(heights)
    return np.where(finite, 0.5, np.nan) if low == high else (heights - low) / (high - low)


def _blocks(chart: _Chart, heights: Floats, width: int, height: int) -> list[Line]:
    """Bars one cell wide, one a point where they fit; the lowest value still stands one eighth high."""
    used = min(width, len(heights))
    sources = [at * len(heights) // used for at in range(used)]
    current_bar = -1
    if chart.current is not None and 0 <= chart.current < len(heights):
        current_bar = chart.current * used // len(heights)
        sources[current_bar] = chart.current
    styles = [_style(chart, heights[source], at == current_bar) for at, source in enumerate(sources)]
    rows = range(height - 1, -1, -1)
    return [[*runs([_block(heights[s], row, height) for s in sources], styles), *blank(width - used)] for row in rows]


def _block(height: float, row: int, rows: int) -> str:
    if np.isnan(height):
        return _BROKEN if row == 0 else " "
    return column(1 + round(height * (rows * 8 - 1)), row)


def _style(chart: _Chart, height: float, is_current: bool) -> Style:
    if np.isnan(height):
        return chart.inks.nan
    return chart.inks.mark if is_current else chart.inks.line


def _picture(chart: _Chart, heights: Floats, width: int, rows: int) -> list[Line]:
    """The braille rows, with a cross over every gap and a point where the user is."""
    xs = np.linspace(0, 2 * width - 1, len(heights)) if len(heights) > 1 else np.array([width - 1.0])
    ys = (1 - heights) * (4 * rows - 1)
    chars = polyline(xs, ys, width, rows)
    styles = [[chart.inks.line] * width for _ in range(rows)]
    marked = set(np.flatnonzero(np.isnan(heights)).tolist())
    current = chart.current if chart.current is not None and 0 <= chart.current < len(heights) else None
    for at in [*sorted(marked - {current}), *([] if current is None else [current])]:
        x, y = round(xs[at]) // 2, 0 if at in marked else round(ys[at]) // 4
        chars[y][x] = _BROKEN if at in marked else _CURRENT
        styles[y][x] = chart.inks.mark if at == current else chart.inks.nan
    return [runs(*row) for row in zip(chars, styles, strict=True)]


def _labels(chart: _Chart, width: int, gutter: int) -> Line:
    """The ends' labels and between them the current one with its value; without room for all, only that one."""
    inks, room = chart.inks, width - gutter
    first, last = visible(chart.points[0][0]), visible(chart.points[-1][0])
    middle = ""
    if chart.current is not None and 0 <= chart.current < len(chart.points):
        label, value = chart.points[chart.current]
        middle = f"{_CURRENT} {visible(label)} = {statistic(value)}"
        # An end where the user is has its label in the middle already.
        first, last = "" if chart.current == 0 else first, "" if chart.current == len(chart.points) - 1 else last
    spare = room - cell_len(first) - cell_len(middle) - cell_len(last)
    if spare < 2 or len(chart.points) == 1:
        first, last, spare = "", "", room - cell_len(middle)
    left = min(max(0, (room - cell_len(middle)) // 2 - cell_len(first)), max(0, spare))
    parts = [(first, inks.quiet), (" " * left, inks.quiet), (middle, inks.mark), (" " * (spare - left), inks.quiet)]
    return line([(" " * gutter, inks.rule), *parts, (last, inks.quiet)], width)
