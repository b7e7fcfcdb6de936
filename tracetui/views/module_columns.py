"""What a run did in a module, as columns at the right edge of its line, as many as there is room for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracetui.analysis.module_numbers import ModuleNumbers, SortBy
from tracetui.text import count
from tracetui.views.cells import column as block

if TYPE_CHECKING:
    from tracetui.analysis.timeline.pyramid import Floats

NAME = 14
"""Cells that the name of a module keeps."""
_PATH = 22
"""Cells that a module's path within its layer keeps."""
ROOMY = 60
"""From so many cells on, NaN and infinities have a column of their own, and the module's own shape stays."""
TREND = "trend"
_TREND_CELLS = 8
_LONGEST = 64
"""Cells of a name beyond which numbers would stand too far from it."""


@dataclass(frozen=True, slots=True)
class RunColumn:
    """One column, its blank on the left included."""

    name: str
    """A value of SortBy, or TREND."""
    cells: int


_ORDER = (
    RunColumn(SortBy.NORM, 8),
    RunColumn(SortBy.GROWTH, 9),
    RunColumn(TREND, _TREND_CELLS + 1),
    RunColumn(SortBy.TIME, 8),
)
_BROKEN = RunColumn(SortBy.BROKEN, 9)


def run_columns(room: int, by: SortBy) -> tuple[RunColumn, ...]:
    """Those that fit beside a name; before all others the one that modules stand in the order of.

    In such an order lines are whole paths, and have more room.
    """
    first = [column for column in (*_ORDER, _BROKEN) if column.name == by]
    order = [*_ORDER[:2], _BROKEN, *_ORDER[2:]] if room >= ROOMY else _ORDER
    columns: list[RunColumn] = []
    for column in dict.fromkeys([*first, *order]):
        name = _PATH if columns and first else NAME
        if sum(each.cells for each in columns) + column.cells <= room - name:
            columns.append(column)
    places = [*_ORDER[:2], _BROKEN, *_ORDER[2:]]
    return tuple(sorted(columns, key=places.index))


def cells_of(room: int, columns: Sequence[RunColumn]) -> tuple[int, int]:
    """How many cells of a room the name has before the columns, and how many stay blank behind them."""
    rest = room - sum(column.cells for column in columns)
    behind = max(0, rest - _LONGEST) if columns else 0
    return rest - behind, behind


def heading(columns: Sequence[RunColumn], by: SortBy, over: str) -> str:
    """Their names, `▾` at the one that modules stand in the order of; `over`: what a trend goes over."""
    names = (over if column.name == TREND else f"{'▾' if column.name == by else ''}{column.name}" for column in columns)
    return "".join(f"{name:>{column.cells}}" for name, column in zip(names, columns, strict=True))


def run_cells(numbers: ModuleNumbers | None, columns: Sequence[RunColumn]) -> list[tuple[str, bool]]:
    """A text for each column, and whether it is an alarm; blanks of a module without numbers."""
    if numbers is None:
        return [(" " * column.cells, False) for column in columns]
    own = any(column.name == SortBy.BROKEN for column in columns)
    return [_cell(numbers, column, own) for column in columns]


def _cell(numbers: ModuleNumbers, column: RunColumn, own: bool) -> tuple[str, bool]:
    """own: NaN and infinities have a column of their own, and needn't stand in place of the norm."""
    broken = _broken(numbers)
    if column.name == SortBy.BROKEN or (column.name == SortBy.NORM and broken and not own):
        return f"{broken:>{column.cells}}", bool(broken)
    if column.name == TREND:
        return f" {trend_cells(numbers.trend, column.cells - 1):<{column.cells - 1}}", False
    if column.name == SortBy.TIME:
        text = "" if numbers.seconds is None else _seconds(numbers.seconds)
    elif column.name == SortBy.GROWTH:
        text = "" if math.isnan(numbers.growth) else f"×{three_digits(numbers.growth)}"
    else:
        text = "–" if math.isnan(numbers.norm) else three_digits(numbers.norm)
    return f"{text:>{column.cells}}", False


def _broken(numbers: ModuleNumbers) -> str:
    if numbers.nan:
        return f"{count(numbers.nan)} NaN"
    return f"{count(numbers.inf)} Inf" if numbers.inf else ""


def three_digits(value: float) -> str:
    """Three digits in at most six characters, zeros at the end kept: `0.0120`, `12.0`, `1234`, `1.2e5`."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.0f}" if abs(value) >= 99.95 or not value else f"{value:#.3g}"
    return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def _seconds(elapsed: float) -> str:
    if elapsed >= 1:
        return f"{elapsed:.3g} s"
    return f"{elapsed * 1e3:.3g} ms" if elapsed >= 1e-3 else f"{elapsed * 1e6:.3g} µs"


def trend_cells(norms: Floats | None, cells: int) -> str:
    """A bar a norm, or the largest of several; `×` where one isn't finite. By decades where they differ that much."""
    if norms is None or not len(norms):
        return ""
    import numpy as np

    from tracetui.analysis.distribution.robust_range import by_decades
    from tracetui.views.charts.lines import relative

    edges = np.arange(min(cells, len(norms))) * len(norms) // min(cells, len(norms))
    largest = np.maximum.reduceat(norms, edges)  # [cells]; NaN where one is
    heights = relative(largest, by_decades(largest))
    return "".join("×" if np.isnan(height) else block(1 + round(float(height) * 7), 0) for height in heights)
