"""What is added up over the blocks of two tensors, in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.distances.compiled import differences_of
from tracetui.analysis.diff.distances.rows import Floats, RowLayout, RowSums
from tracetui.analysis.diff.rounding.tolerance import Tolerance
from tracetui.native.differences import FloatDifferences
from tracetui.recording.value import Array, Index

_FEW = 1 << 13
"""Elements."""


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """Of a row that is too long for one block."""

    index: Index
    start: int
    """Where in the row it begins."""
    greatest: float
    """The largest |a - b| of what is finite."""


class Sums:
    """What is added up over the blocks."""

    def __init__(self, tolerance: Tolerance, layout: RowLayout) -> None:
        self.tolerance = tolerance
        self.rows = RowSums(layout)
        self._width, self._numel = layout.width, layout.rows * layout.width
        self.seen = self.off = self.far = self.unlike = 0
        self.max_abs, self.max_rel = 0.0, 0.0
        self.square_a = self.dot = 0.0
        self.first_unlike: int | None = None
        self.worst_parts: dict[int, Part] = {}
        """Of rows that are too long for one block."""
        self.block: tuple[Array, Array] | None = None
        """Both sides [rows, width], what isn't finite as 0, of a tensor that is one block."""

    def add(self, a: Array, b: Array, whole: bool = True) -> float:
        """Rows of each side [n, width]; returns the greatest difference. Of a part [1, n] of one nothing is held to
        the row, which isn't known yet: `count_off` does so later.
        """
        known = differences_of(a, b, self.tolerance, whole)
        if known is not None:
            self._take(a, b, *known)
            return known[0].greatest
        return self._add_by_numpy(a, b, whole)

    def _take(self, a: Array, b: Array, sums: FloatDifferences, rows: Floats) -> None:
        """What was computed of finite rows: [4, n], as `differences_of` returns them."""
        difference, reference, excess, _ = rows
        if sums.off:
            self.off += sums.off
            if not self.tolerance.per_row:
                self.far += sums.far_rows
            elif sums.far_rows:
                far = np.flatnonzero(excess >= 0)
                self.rows.add_far(far + self._row, excess[far])
        self.max_abs = max(self.max_abs, sums.greatest)
        self.max_rel = max(self.max_rel, sums.greatest_ratio)
        self.rows.add(self._row, None if sums.equal else difference, reference)
        self.square_a += sums.square_a
        self.dot += sums.dot
        self.seen += a.size
        if a.size == self._numel:
            self.block = (a, b)

    def _add_by_numpy(self, a: Array, b: Array, whole: bool) -> float:
        x = wide(a)
        # Of few elements the difference tells as soon; whole numbers beyond 2^53 look the same in float64.
        if (x.size > _FEW or a.dtype.kind in "iu") and (a == b).all():
            self._add_equal(x)
            return 0.0
        y = wide(b)
        difference = np.abs(x - y)
        greatest = float(difference.max(initial=0.0))
        if not math.isfinite(greatest):
            finite = np.isfinite(x) & np.isfinite(y)
            self._count_unlike(x, y, finite)
            x, y = np.where(finite, x, 0), np.where(finite, y, 0)
            difference = np.abs(x - y)
            greatest = float(difference.max(initial=0.0))
        self.max_abs = max(self.max_abs, greatest)
        size = np.abs(y)
        squares = _row_squares(size)
        # Most blocks are within what is allowed beside rtol·|b|: one number tells.
        if whole and (self.tolerance.exact or greatest > self._least(squares)):
            self._count_off(a, b, difference, size, self._absolute(squares), self._row)
        self._widen(difference, size)
        self.rows.add(self._row, _row_squares(difference), squares)
        self.square_a += _dot(x, x)
        self.dot += _dot(x, y)
        self.seen += x.size
        if x.size == self._numel:
            self.block = (x, y)
        return greatest

    def allowed(self, row: int) -> float:
        """What is allowed beside rtol·|b| in a row of which all has been added."""
        return float(self._absolute(self.rows.reference_of(row)).min())

    def count_off(self, a: Array, b: Array, row: int) -> None:
        """Count the elements that are off in a part [1, n] of a row of which all has been added."""
        x, y = wide(a), wide(b)
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(finite, x, 0), np.where(finite, y, 0)
        self._count_off(a, b, np.abs(x - y), np.abs(y), self._absolute(self.rows.reference_of(row)), row)

    @property
    def _row(self) -> int:
        """The row that is next."""
        return self.seen // self._width

    def _add_equal(self, x: Array) -> None:
        size = np.abs(x) if x.dtype.kind == "c" else x
        squares = _row_squares(size)
        if not np.isfinite(squares).all():
            finite = np.isfinite(size)
            squares = squares if finite.all() else _row_squares(np.where(finite, size, 0))
        self.rows.add(self._row, None, squares)
        total = float(squares.sum())
        self.square_a += total
        self.dot += total
        self.seen += x.size

    def _count_off(self, a: Array, b: Array, difference: Floats, size: Floats, absolute: Floats, row: int) -> None:
        tolerance = self.tolerance
        if tolerance.exact and a.dtype.kind in "iu" and b.dtype.kind in "iu":
            # Whole numbers beyond 2^53 look the same in float64.
            off = int(np.count_nonzero(a != b))
            self.off += off
            self.far += off
            return
        allowed = tolerance.rtol * size
        allowed += absolute
        off = int(np.count_nonzero(difference > allowed))
        self.off += off
        if off:
            self._count_far(difference, size, difference > tolerance.slack * allowed, row)

    def _least(self, squares: Floats) -> float:
        """The least that is allowed beside rtol·|b| in any of these rows; 0 where a row's squares are too large."""
        if not self.tolerance.per_row:
            return self.tolerance.atol
        if not math.isfinite(float(squares.max(initial=0.0))):
            return 0.0
        return self.tolerance.per_row * math.sqrt(float(squares.min(initial=math.inf)) / self._width)

    def _absolute(self, squares: Floats) -> Floats:
        """What is allowed beside rtol·|b| in each row [n, 1], given the sums of squares of B's rows [n]."""
        if not self.tolerance.per_row:
            return np.full((1, 1), self.tolerance.atol)
        # Squares beyond float64 give an element no tolerance.
        known = np.where(np.isfinite(squares), squares, 0.0)
        return self.tolerance.per_row * np.sqrt(known / self._width)[:, None]

    def _count_far(self, difference: Floats, size: Floats, far: Array, first: int) -> None:
        """Rows with such an element: how much a small row is allowed is known only when all rows are."""
        rows = np.flatnonzero(far.any(axis=1))
        if not self.tolerance.per_row:
            self.far += rows.size
        elif rows.size:
            excess = difference[rows] - self.tolerance.slack * self.tolerance.rtol * size[rows]
            self.rows.add_far(rows + first, excess.max(axis=1))

    def _count_unlike(self, x: Array, y: Array, finite: Array) -> None:
        unlike = ~finite & ~((x == y) | (np.isnan(x) & np.isnan(y)))
        count = int(np.count_nonzero(unlike))
        if count and self.first_unlike is None:
            self.first_unlike = self.seen + int(unlike.argmax())
        self.unlike += count
        self.off += count
        self.far += count

    def _widen(self, difference: Floats, size: Floats) -> None:
        greatest = float((difference / size).max(initial=0.0))
        if not math.isfinite(greatest):
            ratios = np.divide(difference, size, out=np.zeros_like(size), where=size > 0)
            greatest = float(ratios.max(initial=0.0))
        self.max_rel = max(self.max_rel, greatest)


def _dot(x: Array, y: Array) -> float:
    # Not BLAS: its threads cost more than they save on so few elements, most of all where other work runs.
    return float(np.einsum("ij,ij->", x.conj() if x.dtype.kind == "c" else x, y).real)


def _row_squares(size: Floats) -> Floats:
    squares: Floats = np.einsum("ij,ij->i", size, size)
    return squares


def wide(block: Array) -> Array:
    return block.astype(np.complex128 if block.dtype.kind == "c" else np.float64, copy=False)
