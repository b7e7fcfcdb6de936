"""Values of two tensors and their difference as tables on one scale: side by side, or a row as a list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.cells import cell_len

from tracetui.analysis.distribution.robust_range import robust_range_of
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Array
from tracetui.text import number, statistic
from tracetui.views.cells import Line, blank, fit, line
from tracetui.views.inks import Inks
from tracetui.views.values import (
    REAL_WIDTH,
    ValueWindow,
    cell_at,
    cell_width,
    figure,
    magnitude,
    value_style,
    values_table,
)

SIDE_BY_SIDE = 3 * (2 * (REAL_WIDTH + 1) + 4)
"""Cells from which on three tables have two columns each."""
NAMES = ("A", "B", "A−B")
_GAP = 2


@dataclass(frozen=True, eq=False, slots=True)
class Triple:
    """A part of one matrix of both sides, and the difference."""

    windows: tuple[ValueWindow, ValueWindow, ValueWindow]
    """Of A, B and A−B, each with the same place, shape and scale."""
    cursor: tuple[int, int]


def as_list(width: int, shape: tuple[int, int]) -> bool:
    """Whether an element has a line of its own: where it is narrow, and where there is one row, to fill the height."""
    return width < SIDE_BY_SIDE or shape[0] == 1


def triple_table(triple: Triple, width: int, height: int, inks: Inks) -> list[Line]:
    """`height` lines of `width` cells: three tables beside each other, or the cursor's row as a list."""
    if as_list(width, triple.windows[0].shape):
        return _list(triple, width, height, inks)
    windows = _labelled_once(triple.windows, width)
    widths = _widths(width, widest(windows[0].row_labels))
    heads: Line = []
    for name, room in zip(NAMES, widths, strict=True):
        heads += [*line([(f" {name}", inks.mark)], room), *blank(_GAP)]
    tables = [
        values_table(window, room, height - 1, inks, cursor=triple.cursor)
        for window, room in zip(windows, widths, strict=True)
    ]
    rows = [[*a, *blank(_GAP), *b, *blank(_GAP), *c] for a, b, c in zip(*tables, strict=True)]
    return [heads[:-1], *rows]


def triple_cell_at(triple: Triple, width: int, height: int, x: int, y: int) -> tuple[int, int] | None:
    """Row and column of the number drawn at a cell of `triple_table`; None beside the numbers."""
    first = triple.windows[0]
    if as_list(width, first.shape):
        return (triple.cursor[0], first.column0 + y - 1) if 0 < y <= first.numbers.shape[1] else None
    windows, left = _labelled_once(triple.windows, width), 0
    for window, room in zip(windows, _widths(width, widest(windows[0].row_labels)), strict=True):
        if left <= x < left + room:
            return cell_at(window, room, height - 1, x - left, y - 1)
        left += room + _GAP
    return None


def _widths(width: int, label: int) -> tuple[int, int, int]:
    """Of the three tables; the first has the rows' labels, for which it gets the more."""
    more = label + 1 if label else 0
    each = (width - 2 * _GAP - more) // 3
    return (width - 2 * _GAP - 2 * each, each, each)


def columns_beside(width: int, shape: tuple[int, int], labels: Sequence[str], first: int, dtype: str) -> int:
    """How many columns of each matrix are seen at once, at least one.

    first: what the first row is counted as.
    """
    if width < SIDE_BY_SIDE:
        return 1
    index = len(str(max(shape[0] - 1, 0) + first)) + 1
    room = _widths(width, min(widest(labels), _label_cells(width)))[-1] - index
    return max(1, (room + 1) // (cell_width(dtype, shape[1]) + 1))


def _label_cells(width: int) -> int:
    """At most, of a row's label."""
    return width // 12


def _labelled_once(windows: Sequence[ValueWindow], width: int) -> tuple[ValueWindow, ...]:
    """The labels of rows stand once, at the left; each side's points stand in line by its own magnitude."""
    first, *others = windows
    labels = tuple(fit(label, _label_cells(width)).rstrip() for label in first.row_labels)
    apart = replace(others[-1], row_labels=(), size=magnitude(others[-1].numbers))
    return replace(first, row_labels=labels), replace(others[0], row_labels=()), apart


def _list(triple: Triple, width: int, height: int, inks: Inks) -> list[Line]:
    """The cursor's row: a line for each of its elements, with both values and the difference."""
    first = triple.windows[0]
    row = triple.cursor[0] - first.row0
    lines = [_list_head(first, row, width, inks)]
    if not 0 <= row < len(first.numbers):
        return lines
    index = len(str(max(first.shape[1] - 1, 0) + first.first[1])) + 1
    for column in range(min(height - 1, first.numbers.shape[1])):
        at = first.column0 + column
        here = at == triple.cursor[1]
        label = first.column_labels[column] if column < len(first.column_labels) else ""
        parts = [(f"{'▸' if here else ' '}{at + first.first[1]:>{index}} ", inks.mark if here else inks.quiet)]
        for window in triple.windows:
            value = window.numbers[row, column].item()
            style = value_style(value, window.scale, inks)
            parts += [(figure(value, REAL_WIDTH), style + inks.cursor if here else style), (" ", inks.text)]
        parts.append((fit(label, max(0, width - index - 2 - 3 * (REAL_WIDTH + 1))), inks.text))
        lines.append(line(parts, width))
    return lines


def _list_head(window: ValueWindow, row: int, width: int, inks: Inks) -> Line:
    """The columns' names, and after them which row this is: no room is left for more than its label."""
    index = len(str(max(window.shape[1] - 1, 0) + window.first[1])) + 3
    label = window.row_labels[row] if 0 <= row < len(window.row_labels) else ""
    names = " ".join(name.rjust(REAL_WIDTH) for name in NAMES)
    number = window.first[0] + window.row0 + row
    told = f"  token {number} “{label}”" if label else f"  row {number}"
    if index + len(names) + cell_len(told) > width:
        told = ""
    return line([(" " * index, inks.quiet), (names, inks.mark), (told, inks.quiet)], width)


def common_size(arrays: Sequence[Array]) -> float:
    """The largest finite magnitude in all of them that is no outlier."""
    sizes = [np.abs(array[np.isfinite(array)].astype(np.float64)) for array in arrays]
    return robust_range_of(np.concatenate(sizes)).high if sizes else 0.0


def statistics_lines(a: Statistics | None, b: Statistics | None) -> list[str]:
    """Both sides' statistics beside each other, and what A's are off by: not the statistics of A − B."""
    lines = [f"{'statistics':<10} {'A':>10} {'B':>10} {'off by':>10}"]
    for name in ("l2", "mean", "std", "min", "max", "nan", "posinf", "neginf", "zeros"):
        values = [None if side is None else float(getattr(side, name)) for side in (a, b)]
        if name in ("nan", "posinf", "neginf", "zeros") and not any(values):
            continue
        one, other = values
        apart = "" if one is None or other is None or math.isnan(one - other) else number(one - other)
        shown = [("–" if value is None else statistic(value)) for value in values]
        title = {"l2": "L2", "nan": "NaN", "posinf": "+Inf", "neginf": "-Inf"}.get(name, name)
        lines.append(f"{title:<10} {shown[0]:>10} {shown[1]:>10} {apart:>10}")
    return lines


def widest(labels: Sequence[str]) -> int:
    """Cells of the longest label."""
    return max(map(cell_len, labels), default=0)
