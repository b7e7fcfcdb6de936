"""Distances row by row of the last axis: one huge token must not hide what the others are off by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tracetui.recording.npz.writer import blocks
from tracetui.recording.value import Index

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
    scales: Floats
    """What each row's difference is divided by [rows]: no less than the norms of what the row was computed from."""

    def ruler(self, row: int) -> float:
        """What a row's own number is in units of."""
        return max(float(self.norms[row]), SHARE * self.usual)

    def levelled(self, judged: Floats) -> float:
        """The norm of all differences in units of B's, each row of B as long as the median row, zeros aside.

        Of each row's difference in units of what it is judged against [rows].
        """
        if not self.usual:
            return math.inf if judged.any() else 0.0
        return math.sqrt(float(np.dot(judged, judged)) / np.count_nonzero(self.norms))


def row_scales(norms: Floats, past: RowPast | None = None) -> RowScales:
    """What rows of B are measured against, from their norms [rows]."""
    plain = norms.size > 0 and norms.min() > 0 and math.isfinite(float(norms.max()))
    usual = norms.copy() if plain else norms[(norms > 0) & np.isfinite(norms)]
    median = 0.0
    if usual.size:
        middle = (usual.size - 1) // 2
        usual.partition(middle)
        median = float(usual[middle])
    least = np.maximum(norms, median)
    return RowScales(norms, median, least if past is None else np.maximum(least, past.floor) * past.gain)


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
    rows: int
    width: int

    def blocks(self) -> Iterator[tuple[Index, bool]]:
        """Indices of whole rows, or of the parts of a long one, in C order; and whether a row begins there."""
        if 0 in self.shape:
            return
        seen, row = 0, ITEM * self.width
        if self.is_one_block:
            yield (), True
            return
        for index in blocks(self.shape, ITEM, max(BLOCK, row) if row <= _LONGEST else BLOCK):
            yield index, seen % self.width == 0
            seen += _numel(self.shape, index)

    @property
    def is_one_block(self) -> bool:
        """Whether all of it is looked at at once; not of a tensor without elements."""
        return 0 < self.rows * self.width * ITEM <= BLOCK

    def index(self, row: int) -> tuple[int, ...]:
        """Of a row along the axes that count rows."""
        return index_of(row, self.shape[: self.leading])


def index_of(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of what stands at a place in C order."""
    index: list[int] = []
    for length in reversed(shape):
        place, at = divmod(place, length)
        index.append(at)
    return tuple(index[::-1])


def row_layout(shape: tuple[int, ...]) -> RowLayout:
    """How a tensor of a shape divides into rows."""
    leading = max(0, len(shape) - 1)
    while leading and math.prod(shape[:leading]) > _MOST_ROWS:
        leading -= 1
    return RowLayout(shape, leading, math.prod(shape[:leading]), math.prod(shape[leading:]))


def _numel(shape: tuple[int, ...], index: Index) -> int:
    cut: list[int] = [part.stop - part.start for part in index if isinstance(part, slice)]
    return math.prod(cut) * math.prod(shape[len(index) :])


class RowSums:
    """The sums of squares of a - b and of B in each row."""

    def __init__(self, layout: RowLayout) -> None:
        self.layout = layout
        self._rows = layout.rows
        self._difference: Floats | None = None
        self._reference: Floats | None = None
        self._far: list[tuple[npt.NDArray[np.intp], Floats]] = []

    def add(self, first: int, difference: Floats | None, reference: Floats) -> None:
        """Sums of squares of rows from `first` on, or of a part of one; no difference where both sides are equal."""
        if reference.size == self._rows and self._reference is None:
            self._reference, self._difference = reference, difference
            return
        rows = slice(first, first + reference.size)
        self._reference = np.zeros(self._rows) if self._reference is None else self._reference
        self._reference[rows] += reference
        if difference is not None:
            self._difference = np.zeros(self._rows) if self._difference is None else self._difference
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
        return 0.0 if self._difference is None else float(self._difference.sum())

    @property
    def reference(self) -> float:
        return 0.0 if self._reference is None else float(self._reference.sum())

    def reference_of(self, row: int) -> Floats:
        """The sum of squares of one of B's rows [1]."""
        return np.zeros(1) if self._reference is None else self._reference[row : row + 1]

    @cached_property
    def norms(self) -> Floats:
        """Of B's rows; once all has been added."""
        norms: Floats = np.zeros(self._rows) if self._reference is None else np.sqrt(self._reference)
        return norms

    @cached_property
    def apart(self) -> Floats:
        """The norm of a - b in each row; once all has been added."""
        apart: Floats = np.zeros(self._rows) if self._difference is None else np.sqrt(self._difference)
        return apart

    def far(self, scales: Floats, limit: float) -> npt.NDArray[np.intp]:
        """Rows with an element that is off by more than `limit` root mean squares of what they are judged against."""
        known, root = [np.empty(0, np.intp)], math.sqrt(max(1, self.layout.width))
        for rows, excess in self._far:
            allowed = limit * scales[rows] / root
            known.append(rows[excess > np.where(np.isfinite(allowed), allowed, 0.0)])
        return np.unique(np.concatenate(known))

    def judged(self, scales: Floats) -> Floats:
        """How far apart each row is [rows], in units of what it is judged against.

        Squares beyond float64 tell nothing of a row.
        """
        with np.errstate(all="ignore"):
            judged: Floats = self.apart / scales
        if math.isnan(float(judged.max(initial=0.0))):
            judged[np.isnan(judged)] = 0.0
        return judged
