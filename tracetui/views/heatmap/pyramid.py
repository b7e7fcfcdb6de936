"""A matrix turned once into small codes and halved down to one cell: what a heatmap draws from at any zoom.

A code orders cells by how much they must not be lost: masked < every number < NaN, so that halving by
maximum keeps the strongest cell of each square. Around zero (`diverging`) stronger means larger in size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracetui.views.heatmap.scale import Scale, ScaleKind
from tracetui.views.palette import LEVELS

Matrix = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]


class MatrixRows(Protocol):
    """A matrix that is read some rows at a time."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def __getitem__(self, rows: slice, /) -> Matrix:
        """[rows, S], the caller's own."""


MASKED = 0
"""Code of a cell that takes no part; numbers have 1 to LEVELS."""
NAN = LEVELS + 1
"""Code of a cell without a number."""

MAX_ZOOM = 6

_BLOCK = 1 << 17
_DECADES = 6
_DECADES_AROUND_ZERO = 3


@dataclass(frozen=True, eq=False, slots=True)
class Pyramid:
    """The codes of a matrix and of its halvings."""

    levels: tuple[Codes, ...]
    """[T,S], [⌈T/2⌉,⌈S/2⌉], … [1,1]; a single empty one for an empty matrix."""
    scale: Scale
    visible: bool
    """Whether there is any finite number, so that the scale says something."""
    masked: bool
    nan: bool

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.levels[0].shape
        return rows, columns

    def strongest(self, row: int, column: int, steps: tuple[int, int]) -> tuple[int, int]:
        """The cell that is seen when the group of so many rows and columns from (row, column) on is drawn as one."""
        group = self.levels[0][row : row + steps[0], column : column + steps[1]]
        down, across = divmod(int(group.argmax()), group.shape[1])
        return row + down, column + across

    def tile(self, rows: range, row_step: int, columns: range, column_step: int) -> Codes:
        """The codes of some cells, `row_step` by `column_step` of them (powers of two) pooled to one."""
        step = min(row_step, column_step)
        level = self.levels[min(step.bit_length() - 1, len(self.levels) - 1)]
        part = level[rows.start // step : -(-rows.stop // step), columns.start // step : -(-columns.stop // step)]
        for axis, pool in enumerate((row_step // step, column_step // step)):
            part = np.maximum.reduceat(part, range(0, part.shape[axis], pool), axis=axis)
        return part


def build(
    values: Matrix | MatrixRows,
    masked: Mask | None = None,
    kind: ScaleKind = ScaleKind.LINEAR,
    diverging: bool = False,
    scale: Scale | None = None,
) -> Pyramid:
    """The pyramid of a matrix [T,S] of numbers; `masked` is True where a cell takes no part, as is -inf.

    The scale spans the finite visible numbers unless one is given. Log falls back to linear where no number
    is above zero.
    """
    if 0 in values.shape:
        return Pyramid((np.zeros(values.shape, np.uint8),), Scale(kind, 0.0, 1.0), False, False, False)
    spans = [_Span.of(block, kind) for _, block in _blocks(values, masked)]
    whole = _Span.join(spans)
    chosen = scale or whole.scale(kind, diverging)
    codes = np.empty(values.shape, np.uint8)  # [T,S]
    for (rows, block), span in zip(_blocks(values, masked), spans, strict=True):
        codes[rows] = chosen.codes(by_row(block) if chosen.kind is ScaleKind.ROWS else block)
        if span.masked:
            np.copyto(codes[rows], MASKED, where=block == -np.inf)
        if span.nan:
            np.copyto(codes[rows], NAN, where=np.isnan(block))
    return Pyramid(tuple(_halvings(codes)), chosen, whole.low <= whole.high, whole.masked, whole.nan)


def common_scale(matrices: Sequence[Matrix | MatrixRows], kind: ScaleKind, diverging: bool) -> Scale:
    """One scale for several matrices [T,S] of numbers, none of them empty."""
    spans = [_Span.of(block, kind) for values in matrices for _, block in _blocks(values, None)]
    return _Span.join(spans).scale(kind, diverging)


@dataclass(frozen=True, slots=True)
class _Span:
    """What must be known of all numbers before the first can get its level."""

    low: float
    """Of the finite numbers; infinite, and above `high`, if there is none."""
    high: float
    masked: bool
    nan: bool
    smallest: float
    """The smallest size above zero; not looked for when the scale is linear."""

    @classmethod
    def of(cls, block: Matrix, kind: ScaleKind) -> _Span:
        low, high = float(block.min()), float(block.max())
        masked, nan = low == -math.inf, math.isnan(low)
        if masked and math.isfinite(high):
            low = float(np.where(block > -np.inf, block, np.inf).min())
        elif not (math.isfinite(low) and math.isfinite(high)):
            finite = np.isfinite(block)
            low = float(np.where(finite, block, np.inf).min())
            high = float(np.where(finite, block, -np.inf).max())
            masked = masked or bool((block == -np.inf).any())
        return cls(low, high, masked, nan, _smallest(block) if kind is ScaleKind.LOG else 0.0)

    @staticmethod
    def join(spans: list[_Span]) -> _Span:
        return _Span(
            min(span.low for span in spans),
            max(span.high for span in spans),
            any(span.masked for span in spans),
            any(span.nan for span in spans),
            min(span.smallest for span in spans),
        )

    def scale(self, kind: ScaleKind, diverging: bool) -> Scale:
        if kind is ScaleKind.ROWS:
            return Scale(kind, -1.0 if diverging else 0.0, 1.0, diverging)
        low, high = (self.low, self.high) if self.low <= self.high else (0.0, 0.0)
        limit = max(abs(low), abs(high))
        if kind is ScaleKind.LOG and (floor := self._floor(limit if diverging else high, diverging)):
            return Scale(kind, -limit if diverging else floor, limit if diverging else high, diverging, floor)
        if diverging:
            low, high = -limit, limit
        elif low == high:
            low, high = min(low, 0.0), max(high, 0.0)  # a constant is shown against zero
        if low == high:
            high = 1.0
            low = -high if diverging else 0.0
        return Scale(ScaleKind.LINEAR if kind is ScaleKind.LOG else kind, low, high, diverging)

    def _floor(self, high: float, diverging: bool) -> float:
        """Where a log scale begins; 0 if there can be none."""
        decades = _DECADES_AROUND_ZERO if diverging else _DECADES
        return min(max(self.smallest, high * 10.0**-decades), high / 10) if high > 0 else 0.0


def by_row(block: Matrix) -> Matrix:
    """Rows [n,S] each as shares of its own largest size; a row without any stays as it is."""
    with np.errstate(all="ignore"):
        sizes = np.where(np.isfinite(block), np.abs(block), 0)  # [n,S]
        largest = sizes.max(axis=1, keepdims=True)  # [n,1]
        shares: Matrix = block / np.where(largest > 0, largest, 1)
    return shares


def _smallest(block: Matrix) -> float:
    size = np.abs(block)
    return float(np.where(size > 0, size, np.inf).min())


def _blocks(values: Matrix | MatrixRows, masked: Mask | None) -> Iterator[tuple[slice, Matrix]]:
    """Row slices small enough to stay in the processor's cache, masked cells as -inf."""
    step = max(1, _BLOCK // values.shape[1])
    for start in range(0, values.shape[0], step):
        rows = slice(start, start + step)
        block: Matrix = values[rows]
        yield rows, block if masked is None else np.where(masked[rows], -np.inf, block)


def _halvings(codes: Codes) -> Iterator[Codes]:
    codes.flags.writeable = False
    yield codes
    while codes.size > 1:
        codes = _halved(codes)
        codes.flags.writeable = False
        yield codes


def _halved(codes: Codes) -> Codes:
    """[T,S] → [⌈T/2⌉,⌈S/2⌉], each cell the largest of its square."""
    rows, columns = codes.shape[0] // 2, codes.shape[1] // 2
    tall = codes[0::2].copy()  # [⌈T/2⌉,S]
    np.maximum(tall[:rows], codes[1::2], out=tall[:rows])
    small = tall[:, 0::2].copy()  # [⌈T/2⌉,⌈S/2⌉]
    np.maximum(small[:, :columns], tall[:, 1::2], out=small[:, :columns])
    return small


def pooled(zoom: int) -> int:
    """How many cells in each direction one pixel stands for: 1 unless the zoom is negative."""
    return 1 << max(0, -zoom)


def pixels(zoom: int) -> int:
    """How many pixels in each direction one cell takes: 1, or an even number when enlarged.

    A pixel is one column wide and half a line high, which is about square.
    """
    return max(1, 2 * zoom)


def fit(rows: int, columns: int, width: int, height: int) -> int:
    """The largest zoom at which the whole matrix can be seen on `width` columns and `height` lines."""
    room = min(width // max(1, columns), 2 * height // max(1, rows))
    if room >= 1:
        return min(room // 2, MAX_ZOOM)
    need = max(columns / max(1, width), rows / max(1, 2 * height))
    return -math.ceil(math.log2(need))
