"""Distances row by row of the last axis: one huge token must not hide what the others are off by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.trace.npz.writer import blocks
from tracetui.trace.value import Index

Floats = npt.NDArray[np.float64]

ITEM = np.dtype(np.float64).itemsize
BLOCK = 1 << 18
"""Bytes of a block in float64: several of them stay in the processor's cache."""
_LONGEST = 1 << 22
"""Bytes in float64 of the longest row that is looked at in one block."""
_MOST_ROWS = 1 << 20
"""Of one tensor: where there are more, the last two axes make one row, and so on."""
_FLOOR = 0.25
"""Of the median row's norm: what a row with a smaller norm is measured against."""


@dataclass(frozen=True, slots=True)
class RowDistance:
    """The row of the last axis that is furthest apart."""

    index: tuple[int, ...]
    """Along all axes but the last."""
    relative: float
    """The norm of a - b in this row, in units of `scale`."""
    scale: float
    """The norm of B's row, at least a quarter of the median norm of B's rows that aren't zero.

    A row that is all but zero, behind a gate or where terms cancel, has the rounding of what it was computed from.
    """
    rows: int
    width: int
    """Elements of a row."""


@dataclass(frozen=True, slots=True)
class RowLayout:
    """How a tensor divides into rows: as its last axis does, or its last axes where that would be too many."""

    shape: tuple[int, ...]
    leading: int
    """Axes that count rows."""

    @property
    def rows(self) -> int:
        return math.prod(self.shape[: self.leading])

    @property
    def width(self) -> int:
        return math.prod(self.shape[self.leading :])

    def blocks(self) -> Iterator[tuple[Index, bool]]:
        """Indices of whole rows, or of the parts of a long one, in C order; and whether a row begins there."""
        if 0 in self.shape:
            return
        seen, row = 0, ITEM * self.width
        for index in blocks(self.shape, ITEM, max(BLOCK, row) if row <= _LONGEST else BLOCK):
            yield index, seen % self.width == 0
            seen += _numel(self.shape, index)

    def index(self, row: int) -> tuple[int, ...]:
        return tuple(int(place) for place in np.unravel_index(row, self.shape[: self.leading])) if self.leading else ()


def row_layout(shape: tuple[int, ...]) -> RowLayout:
    """How a tensor of a shape divides into rows."""
    leading = max(0, len(shape) - 1)
    while leading and math.prod(shape[:leading]) > _MOST_ROWS:
        leading -= 1
    return RowLayout(shape, leading)


def _numel(shape: tuple[int, ...], index: Index) -> int:
    cut: list[int] = [part.stop - part.start for part in index if isinstance(part, slice)]
    return math.prod(cut) * math.prod(shape[len(index) :])


class RowSums:
    """The sums of squares of a - b and of B in each row."""

    def __init__(self, layout: RowLayout) -> None:
        self.layout = layout
        self._difference = np.zeros(layout.rows)
        self._reference = np.zeros(layout.rows)
        self._far: list[tuple[npt.NDArray[np.intp], Floats]] = []

    def add(self, first: int, difference: Floats | None, reference: Floats) -> None:
        """Sums of squares of rows from `first` on, or of a part of one; no difference where both sides are equal."""
        rows = slice(first, first + reference.size)
        self._reference[rows] += reference
        if difference is not None:
            self._difference[rows] += difference

    def add_far(self, rows: npt.NDArray[np.intp], excess: Floats) -> None:
        """Rows with an element beyond the tolerance, and by how much |a - b| - slack·rtol·|b| at most."""
        self._far.append((rows, excess))

    @property
    def difference(self) -> float:
        return float(self._difference.sum())

    @property
    def reference(self) -> float:
        return float(self._reference.sum())

    def scales(self) -> Floats:
        """What each row is measured against."""
        norms = np.sqrt(self._reference)
        usual = norms[(norms > 0) & np.isfinite(norms)]
        if not usual.size:
            return norms
        middle = (usual.size - 1) // 2
        return np.maximum(norms, _FLOOR * float(np.partition(usual, middle)[middle]))

    def far(self, scales: Floats, limit: float) -> int:
        """How many rows have an element that is off by more than `limit` root mean squares of the row."""
        count, root = 0, math.sqrt(max(1, self.layout.width))
        for rows, excess in self._far:
            allowed = limit * scales[rows] / root
            count += int(np.count_nonzero(excess > np.where(np.isfinite(allowed), allowed, 0.0)))
        return count

    def worst(self, scales: Floats) -> tuple[int, float]:
        """The row that is furthest apart, and how far; squares beyond float64 tell nothing of a row."""
        apart = np.sqrt(self._difference)
        with np.errstate(all="ignore"):
            relative = np.where(apart > 0, apart / scales, 0.0)
        relative[np.isnan(relative)] = 0.0
        row = int(relative.argmax())
        return row, float(relative[row])
