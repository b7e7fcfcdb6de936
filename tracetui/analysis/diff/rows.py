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
SHARE = 0.25
"""Of what a token was at its longest, whose rounding it keeps; and of the median row, for a shorter one's number."""


@dataclass(frozen=True, eq=False, slots=True)
class RowPast:
    """What is known of a tensor's rows from what they were computed from, each [rows]."""

    floor: Floats
    """Norms that rows are judged against at least."""
    gain: Floats
    """By how much rounding is larger than a row's own norm lets expect."""


@dataclass(frozen=True, eq=False, slots=True)
class RowScales:
    """What each row of B is judged against: its own norm, at least the median row's.

    The rounding of a short row (behind a gate, or where terms cancel) is that of what it was computed from, which is
    about as long in all rows. So it is where tokens were far longer before.
    """

    norms: Floats
    """[rows]."""
    usual: float
    """The median of the rows that aren't zero."""
    past: RowPast | None = None

    def rulers(self) -> Floats:
        """What a row's own number is in units of."""
        return np.maximum(self.norms, SHARE * self.usual)

    def scales(self) -> Floats:
        """What a row is judged against."""
        least = np.maximum(self.norms, self.usual)
        return least if self.past is None else np.maximum(least, self.past.floor) * self.past.gain

    def levelled(self, apart: Floats) -> float:
        """The norm of all differences [rows] in units of B's; each row of B counts as the median row, zeros aside."""
        long = self.norms > self.usual
        weights = np.divide(self.usual, self.norms, out=np.ones_like(self.norms), where=long)
        whole = self.usual * math.sqrt(np.count_nonzero(self.norms > 0))
        if self.past is not None:
            weights = weights * np.maximum(self.norms, self.usual) / self.scales()
        part = float(np.square(apart * weights).sum())
        return 0.0 if part == 0 else math.sqrt(part) / whole if whole else math.inf


def row_scales(norms: Floats, past: RowPast | None = None) -> RowScales:
    """What rows of B are measured against, from their norms [rows]."""
    usual = norms[(norms > 0) & np.isfinite(norms)]
    middle = (usual.size - 1) // 2
    return RowScales(norms, float(np.partition(usual, middle)[middle]) if usual.size else 0.0, past)


@dataclass(frozen=True, slots=True)
class RowDistance:
    """The row of the last axis that is furthest apart."""

    index: tuple[int, ...]
    """Along all axes but the last."""
    relative: float
    """The norm of a - b in this row, in units of B's there, or of a quarter of the median row's if that is more."""
    judged: float
    """The same in units of what the row was computed from (`RowScales`): this decides, and which row is the worst."""
    norm: float
    """Of B's row."""
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
    def has_far(self) -> bool:
        """Whether there are any."""
        return bool(self._far)

    @property
    def difference(self) -> float:
        return float(self._difference.sum())

    @property
    def reference(self) -> float:
        return float(self._reference.sum())

    def reference_of(self, row: int) -> Floats:
        """The sum of squares of one of B's rows [1]."""
        return self._reference[row : row + 1]

    @property
    def norms(self) -> Floats:
        """Of B's rows."""
        norms: Floats = np.sqrt(self._reference)
        return norms

    @property
    def apart(self) -> Floats:
        """The norm of a - b in each row."""
        apart: Floats = np.sqrt(self._difference)
        return apart

    def far(self, scales: Floats, limit: float) -> npt.NDArray[np.intp]:
        """Rows with an element that is off by more than `limit` root mean squares of what they are judged against."""
        known, root = [np.empty(0, np.intp)], math.sqrt(max(1, self.layout.width))
        for rows, excess in self._far:
            allowed = limit * scales[rows] / root
            known.append(rows[excess > np.where(np.isfinite(allowed), allowed, 0.0)])
        return np.unique(np.concatenate(known))

    def worst(self, scales: Floats) -> tuple[int, float]:
        """The row that is furthest apart, and how far; squares beyond float64 tell nothing of a row."""
        apart = self.apart
        with np.errstate(all="ignore"):
            relative = np.where(apart > 0, apart / scales, 0.0)
        relative[np.isnan(relative)] = 0.0
        row = int(relative.argmax())
        return row, float(relative[row])
