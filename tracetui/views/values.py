"""Numbers as a table: a window of a matrix with its indices, labels, and colour by sign and magnitude."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.style import Style

from tracetui.analysis.distribution.robust_range import robust_range_of
from tracetui.recording.value import Array
from tracetui.views.cells import Line, blank, fit, line
from tracetui.views.inks import Inks

REAL_WIDTH = 10
"""Cells of a real number with all its digits: `-1.234e-05`."""
_COLUMN = 8
"""Cells of one in a table, most of which have one number of decimals: `-0.01529`."""
_ALIGNED = (1e-2, 1e4)
"""Scales for which that number can be shown in a column with four digits of the largest."""
_WIDEST = 20
_LABEL_MAX = 16


@dataclass(frozen=True, eq=False, slots=True)
class ValueWindow:
    """The part of a matrix that is looked at."""

    numbers: Array
    """[rows, columns] read from the matrix, at least what fits on the screen."""
    row0: int = 0
    column0: int = 0
    """Index in the matrix of the first number."""
    shape: tuple[int, int] = (0, 0)
    """Of the whole matrix."""
    row_labels: Sequence[str] = ()
    """Beside the window's rows, such as the tokens' texts."""
    column_labels: Sequence[str] = ()
    scale: float = 0.0
    """The magnitude that gets the fullest colour; 0: the window's largest, outliers aside."""
    first: tuple[int, int] = (0, 0)
    """What the matrix' first row and column are counted as: positions begin later in a later pass."""
    size: float = 0.0
    """The magnitude that has four digits, by which points stand in line; 0: `scale`."""


NORMS_FROM = 60
"""Cells of a table from which on it has room for a column of its rows' norms."""
NORM_CELLS = 9
_FAR = 10.0
"""How many times the median norm stands out."""


def norm_column(norms: Array | None, heads: int, height: int, inks: Inks) -> list[Line]:
    """`height` lines of NORM_CELLS cells: below a table's heads the norms of its rows [rows], those far out marked."""
    if norms is None:
        return [blank(NORM_CELLS) for _ in range(height)]
    finite = norms[np.isfinite(norms)]
    far = _FAR * float(np.median(finite)) if finite.size else math.inf
    lines = [line([(fit("norm", NORM_CELLS, right=True), inks.quiet)], NORM_CELLS)] * min(heads, 1)
    lines += [blank(NORM_CELLS)] * (heads - 1)
    for norm in norms[: height - heads].tolist():
        style = inks.nan if math.isnan(norm) else inks.mark if norm > far else inks.quiet
        lines.append(line([(" ", inks.quiet), (figure(norm, NORM_CELLS - 1), style)], NORM_CELLS))
    return [*lines, *[blank(NORM_CELLS)] * (height - len(lines))][:height]


def heads_of(window: ValueWindow, height: int) -> int:
    """How many lines of a table stand above its rows."""
    return min(2 if window.column_labels else 1, 2 if height > 3 else min(height - 1, 1))


def capacity(
    width: int, height: int, dtype: str, shape: tuple[int, int], labels: Sequence[str] = (), first: int = 0
) -> tuple[int, int]:
    """How many rows and columns of a matrix to read, so that `values_table` never runs out of numbers to show.

    first: what its first row is counted as.
    """
    cell = 1 if dtype.startswith(("int", "uint")) else 5 if dtype == "bool" else _COLUMN
    room = width - _gutter(_index_width(shape, first), _label_width(labels, width))
    return min(max(height - 1, 1), shape[0]), min(max((room + 1) // (cell + 1), 0), shape[1])


def values_table(
    window: ValueWindow, width: int, height: int, inks: Inks, *, cursor: tuple[int, int] | None = None
) -> list[Line]:
    """`height` lines of `width` cells: a header of column indices, then rows; only whole columns are shown.

    `cursor` is a row and column of the whole matrix. Sign and size are in the figures; colour only repeats them.
    """
    if width <= 0 or height <= 0:
        return [[] for _ in range(max(height, 0))]
    table = _table(window, width, inks, cursor)
    heads = table.heads()[: 2 if height > 3 else min(height - 1, 1)]
    rows = range(min(len(window.numbers), height - len(heads)))
    return [*heads, *(table.row(row) for row in rows)] + [blank(width) for _ in range(height - len(heads) - len(rows))]


def cell_at(window: ValueWindow, width: int, height: int, x: int, y: int) -> tuple[int, int] | None:
    """Row and column of the number that `values_table` draws at a cell of its picture; None beside the numbers."""
    table = _table(window, width, Inks(), None)
    row = y - heads_of(window, height)
    column = (x - _gutter(table.index, table.label)) // (table.cell + 1)
    inside = 0 <= row < len(window.numbers) and 0 <= column < table.columns
    return (window.row0 + row, window.column0 + column) if inside else None


def _table(window: ValueWindow, width: int, inks: Inks, cursor: tuple[int, int] | None) -> _Table:
    index, label = _index_width(_shape(window), window.first[0]), _label_width(window.row_labels, width)
    cell = max(_cell_width(window.numbers, window.scale), len(str(_shape(window)[1] - 1 + window.first[1])))
    columns = (width - _gutter(index, label) + 1) // (cell + 1)
    scale = window.scale or magnitude(window.numbers)
    fitting = min(window.numbers.shape[1], max(0, columns))
    return _Table(window, width, inks, cursor, index, label, cell, fitting, scale, _decimals(window.size or scale))


@dataclass(frozen=True, eq=False, slots=True)
class _Table:
    """A window laid out: widths in cells of the index, the label and one number, and the columns that fit."""

    window: ValueWindow
    width: int
    inks: Inks
    cursor: tuple[int, int] | None
    index: int
    label: int
    cell: int
    columns: int
    scale: float
    decimals: int | None
    """Of every number that keeps two digits with them; None: each its own."""

    def heads(self) -> list[Line]:
        window, inks = self.window, self.inks
        first = window.column0 + window.first[1]
        indices = [str(first + column) for column in range(self.columns)]
        head = self._head(indices)
        more = " ›" if window.column0 + self.columns < _shape(window)[1] else ""
        more = more[max(0, len(head) + len(more) - self.width) :]
        heads = [line([(head, inks.quiet), (more, inks.rule)], self.width)]
        if window.column_labels:
            heads.append(line([(self._head(window.column_labels[: self.columns]), inks.text)], self.width))
        return heads

    def _head(self, texts: Sequence[str]) -> str:
        return " " * _gutter(self.index, self.label) + " ".join(fit(text, self.cell, right=True) for text in texts)

    def row(self, row: int) -> Line:
        window, inks = self.window, self.inks
        parts = [(fit(str(window.first[0] + window.row0 + row), self.index, right=True) + " ", inks.quiet)]
        if self.label:
            label = window.row_labels[row] if row < len(window.row_labels) else ""
            parts.append((fit(label, self.label) + " ", inks.text))
        here = self.cursor[1] - window.column0 if self.cursor and self.cursor[0] == window.row0 + row else -1
        for column, value in enumerate(window.numbers[row, : self.columns].tolist()):
            text, style = figure(value, self.cell, self.decimals), value_style(value, self.scale, inks)
            if column != here and style.bgcolor is None and not style.reverse:
                # A blank has no colour of its own.
                parts.append((f" {text}" if column else text, style))
                continue
            if column:
                parts.append((" ", inks.text))
            parts.append((text, style + inks.cursor if column == here else style))
        return line(parts, self.width)


def _gutter(index: int, label: int) -> int:
    return index + 1 + (label + 1 if label else 0)


def _shape(window: ValueWindow) -> tuple[int, int]:
    rows, columns = window.numbers.shape
    return max(window.shape[0], window.row0 + rows), max(window.shape[1], window.column0 + columns)


def _index_width(shape: tuple[int, int], first: int = 0) -> int:
    return len(str(max(shape[0] - 1, 0) + first))


def _label_width(labels: Sequence[str], width: int) -> int:
    longest = max((cell_len(fit(label, _LABEL_MAX).rstrip()) for label in labels), default=0)
    return min(longest, width // 4)


def _cell_width(numbers: Array, scale: float) -> int:
    if numbers.dtype.kind == "b":
        return 5
    if numbers.dtype.kind in "iu" and numbers.size:
        return min(_WIDEST, max(len(str(end)) for end in (numbers.min(), numbers.max(), int(scale))))
    return _COLUMN


def cell_width(dtype: str, columns: int) -> int:
    """Cells of a number in a table before any has been read: of integers as many as most need."""
    cell = 5 if dtype == "bool" else REAL_WIDTH if dtype.startswith(("int", "uint")) else _COLUMN
    return max(cell, len(str(columns - 1)))


def _decimals(scale: float) -> int | None:
    """As many as give a number of the size `scale` four digits."""
    low, high = _ALIGNED
    return max(0, 3 - math.floor(math.log10(scale))) if low <= scale < high else None


def magnitude(numbers: Array) -> float:
    """The largest size that is no outlier among them: one would leave the rest without colour."""
    finite = np.abs(numbers[np.isfinite(numbers)].astype(np.float64))
    return robust_range_of(finite).high


def figure(value: float, width: int, decimals: int | None = None) -> str:
    """A number right-aligned in exactly `width` cells: four significant digits, fewer where they don't fit.

    With `decimals` it has so many wherever that leaves it two digits, so that points stand in line.
    """
    aligned = "" if decimals is None or isinstance(value, (bool, int)) else f"{value:.{decimals}f}"
    if isinstance(value, (bool, int)):
        text = str(value)
    elif not math.isfinite(value) or value == 0:
        text = f"{value:g}"
    elif aligned and len(aligned) <= width and abs(value) >= 10.0 ** (1 - (decimals or 0)):
        text = aligned
    else:
        candidates = (f"{value:#.{digits}g}".rstrip(".") for digits in (4, 3, 2, 1))
        text = next((short for short in candidates if len(short) <= width), f"{value:.0e}")
    return text.rjust(width) if len(text) <= width else fit(text, width, right=True)


def value_style(value: float, scale: float, inks: Inks) -> Style:
    """The style of a number: alarms first, then zero, then the sign's ramp by magnitude relative to `scale`."""
    if value != value:
        return inks.nan
    if math.isinf(value):
        return inks.inf
    if value == 0:
        return inks.zero
    ramp = inks.positive if value > 0 else inks.negative
    share = math.sqrt(min(abs(value) / scale, 1.0)) if scale > 0 else 1.0
    return ramp[min(int(share * len(ramp)), len(ramp) - 1)]
