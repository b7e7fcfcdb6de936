"""How far apart two tensors are, measured block by block in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.diff.columns import far_for_columns
from tracetui.analysis.diff.rows import (
    Floats,
    RowDistance,
    RowLayout,
    RowPast,
    RowScales,
    RowSums,
    row_layout,
    row_scales,
)
from tracetui.analysis.diff.tolerance import Tolerance
from tracetui.trace.statistics import Statistics
from tracetui.trace.value import Array, Index, Value


@dataclass(frozen=True, slots=True)
class Distance:
    """All but `unlike` is over the elements that are finite on both sides."""

    numel: int
    off: int
    """Elements beyond the tolerance, unlike ones included."""
    far: int
    """Rows with an element beyond it by more than its slack, and unlike elements."""
    max_abs: float
    max_rel: float
    """Of |a - b| / |b|, where b isn't zero."""
    relative: float
    """The norm of a - b, in units of b's norm, over the whole tensor."""
    cosine: float
    unlike: int
    """Elements that are NaN or infinite on one side and not, or not in the same way, on the other."""
    worst: tuple[int, ...] | None
    """Index of the first unlike element, else of the one with the largest |a - b| in the row that is furthest apart.

    None if there is no element.
    """
    worst_a: float
    worst_b: float
    scale: float
    """B's root mean square."""
    by_statistics: bool = False
    """Only the statistics were there to compare; `off` is then 1 or 0."""
    row: RowDistance | None = None
    """The row that is furthest apart; None where there is one row only, where nothing is, and for whole numbers."""
    levelled: float = 0.0
    """As `relative`, rows of B that are longer than the median row brought down to it."""

    @property
    def share(self) -> float:
        """Of the elements that are off."""
        return self.off / self.numel if self.numel else 0.0

    @property
    def furthest(self) -> float:
        """|a - b|/|b| of the row that is furthest apart, which decides; of the whole tensor where that is more."""
        if self.row is None or math.isnan(self.relative):
            return self.relative
        return max(self.relative, self.row.relative)

    def beyond(self, tolerance: Tolerance) -> bool:
        """Whether a row is further apart than the tolerance lets it be, or all of them together are."""
        row = self.row
        worst = row is not None and row.judged > tolerance.of_row(row.rows, row.width)
        return worst or self.levelled > tolerance.of_whole(self.numel)


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """Of a row that is too long for one block."""

    index: Index
    start: int
    """Where in the row it begins."""
    greatest: float
    """The largest |a - b| of what is finite."""


class _Sums:
    """What is added up over the blocks."""

    def __init__(self, tolerance: Tolerance, layout: RowLayout) -> None:
        self.tolerance = tolerance
        self.rows = RowSums(layout)
        self.seen = self.off = self.far = self.unlike = 0
        self.max_abs, self.max_rel = 0.0, 0.0
        self.square_a = self.dot = 0.0
        self.first_unlike: int | None = None
        self.worst_parts: dict[int, _Part] = {}
        """Of rows that are too long for one block."""

    def add(self, a: Array, b: Array, whole: bool = True) -> float:
        """Rows of each side [n, width]; returns the greatest difference. Of a part [1, n] of one nothing is held to
        the row, which isn't known yet: `count_off` does so later.
        """
        x = _wide(a)
        if np.array_equal(a, b):
            self._add_equal(x)
            return 0.0
        y = _wide(b)
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
        if whole:
            absolute = self._absolute(squares)
            # Most blocks are within what is allowed beside rtol·|b|: one number tells.
            if self.tolerance.exact or greatest > absolute.min():
                self._count_off(a, b, difference, size, absolute, self._row)
        self._widen(difference, size)
        self.rows.add(self._row, _row_squares(difference), squares)
        self.square_a += _dot(x, x)
        self.dot += _dot(x, y)
        self.seen += x.size
        return greatest

    def allowed(self, row: int) -> float:
        """What is allowed beside rtol·|b| in a row of which all has been added."""
        return float(self._absolute(self.rows.reference_of(row)).min())

    def count_off(self, a: Array, b: Array, row: int) -> None:
        """Count the elements that are off in a part [1, n] of a row of which all has been added."""
        x, y = _wide(a), _wide(b)
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(finite, x, 0), np.where(finite, y, 0)
        self._count_off(a, b, np.abs(x - y), np.abs(y), self._absolute(self.rows.reference_of(row)), row)

    @property
    def _row(self) -> int:
        """The row that is next."""
        return self.seen // self.rows.layout.width

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

    def _absolute(self, squares: Floats) -> Floats:
        """What is allowed beside rtol·|b| in each row [n, 1], given the sums of squares of B's rows [n]."""
        if not self.tolerance.per_row:
            return np.full((1, 1), self.tolerance.atol)
        # Squares beyond float64 give an element no tolerance.
        known = np.where(np.isfinite(squares), squares, 0.0)
        return self.tolerance.per_row * np.sqrt(known / self.rows.layout.width)[:, None]

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
        ratio = np.divide(difference, size, out=np.zeros_like(size), where=size > 0)
        self.max_rel = max(self.max_rel, float(ratio.max(initial=0.0)))


def _dot(x: Array, y: Array) -> float:
    # Not BLAS: its threads cost more than they save on so few elements, most of all where other work runs.
    return float(np.einsum("ij,ij->", x.conj() if x.dtype.kind == "c" else x, y).real)


def _row_squares(size: Floats) -> Floats:
    squares: Floats = np.einsum("ij,ij->i", size, size)
    return squares


def _wide(block: Array) -> Array:
    return block.astype(np.complex128 if block.dtype.kind == "c" else np.float64, copy=False)


def distance(a: Value, b: Value, tolerance: Tolerance) -> Distance:
    """Between two values of one shape. Raises NotKeptError if either has none."""
    return distance_and_norms(a, b, tolerance)[0]


def distance_and_norms(
    a: Value, b: Value, tolerance: Tolerance, past: RowPast | None = None
) -> tuple[Distance, Floats]:
    """Between two values of one shape, and the norms of B's rows; `past` is what is known of these rows.

    Raises NotKeptError if either has no values.
    """
    layout = row_layout(a.shape)
    sums = _Sums(tolerance, layout)
    parts: list[_Part] = []
    with np.errstate(all="ignore"):
        for index, begins in layout.blocks():
            block_a, block_b = a.read(index), b.read(index)
            if begins and block_a.size >= layout.width:
                rows = block_a.size // layout.width
                sums.add(block_a.reshape(rows, -1), block_b.reshape(rows, -1))
                continue
            start = sums.seen % layout.width
            # Without a tolerance of its own the row need not be known.
            greatest = sums.add(block_a.reshape(1, -1), block_b.reshape(1, -1), whole=not tolerance.per_row)
            parts.append(_Part(index, start, greatest))
            if sums.seen % layout.width == 0:
                _end_row(sums, a, b, parts)
                parts.clear()
        return _distance(sums, a, b, past), sums.rows.norms


def _end_row(sums: _Sums, a: Value, b: Value, parts: Sequence[_Part]) -> None:
    """Of a row that was too long for one block, remember its worst part, and count what is off in it.

    Only parts with a large difference are read again.
    """
    row = sums.seen // sums.rows.layout.width - 1
    sums.worst_parts[row] = max(parts, key=lambda part: part.greatest)
    allowed = sums.allowed(row) if sums.tolerance.per_row else math.inf
    for part in parts:
        if part.greatest > allowed:
            sums.count_off(a.read(part.index).reshape(1, -1), b.read(part.index).reshape(1, -1), row)


def _distance(sums: _Sums, a: Value, b: Value, past: RowPast | None) -> Distance:
    known = row_scales(sums.rows.norms, past) if sums.max_abs else None
    row, judged = (0, 0.0) if known is None else sums.rows.worst(known.scales())
    worst, worst_a, worst_b = _worst(sums, a, b, row)
    difference, reference = sums.rows.difference, sums.rows.reference
    several = sums.rows.layout.rows > 1 and not sums.tolerance.exact
    found = Distance(
        numel=sums.seen,
        off=sums.off,
        far=sums.far,
        max_abs=sums.max_abs,
        # Beside a B that is zero wherever they differ, no multiple of it is large enough.
        max_rel=math.inf if sums.max_rel == 0 < sums.max_abs else sums.max_rel,
        relative=_ratio(math.sqrt(difference), math.sqrt(reference)),
        cosine=_cosine(sums),
        unlike=sums.unlike,
        worst=worst,
        worst_a=worst_a,
        worst_b=worst_b,
        scale=math.sqrt(reference / sums.seen) if sums.seen else 0.0,
        row=_row(sums, known, row, judged) if known is not None and several else None,
        levelled=known.levelled(sums.rows.apart) if known is not None else 0.0,
    )
    if known is None or not sums.rows.has_far:
        return found
    return replace(found, far=found.far + _far(sums, a, b, known, found))


def _far(sums: _Sums, a: Value, b: Value, known: RowScales, found: Distance) -> int:
    """How many rows have an element that is far off; what is far off in a huge channel alone doesn't count."""
    tolerance = sums.tolerance
    rows = sums.rows.far(known.scales(), tolerance.slack * tolerance.per_row)
    if found.far or tolerance.slack <= 1 or found.beyond(tolerance):
        return int(rows.size)
    return far_for_columns(a, b, sums.rows.layout, rows, known, tolerance)


def _row(sums: _Sums, known: RowScales, row: int, judged: float) -> RowDistance:
    layout, norm = sums.rows.layout, float(known.norms[row])
    relative = _ratio(float(sums.rows.apart[row]), float(known.rulers()[row]))
    return RowDistance(layout.index(row), relative, judged, norm, layout.rows, layout.width)


def _worst(sums: _Sums, a: Value, b: Value, row: int) -> tuple[tuple[int, ...] | None, float, float]:
    """The first unlike element, or the one that is furthest apart in a row: its index, and both values."""
    layout = sums.rows.layout
    if not sums.seen:
        return None, 0.0, 0.0
    place = sums.first_unlike
    if place is None:
        place = row * layout.width + (_furthest_in_row(sums, a, b, row) if sums.max_abs else 0)
    index = tuple(int(at) for at in np.unravel_index(place, layout.shape)) if layout.shape else ()
    one, other = (_wide(value.read(index).reshape(1))[0] for value in (a, b))
    return index, float(one.real), float(other.real)


def _furthest_in_row(sums: _Sums, a: Value, b: Value, row: int) -> int:
    """The place of the largest |a - b| of what is finite."""
    part = sums.worst_parts.get(row) or _Part(sums.rows.layout.index(row), 0, 0.0)
    difference = np.abs(_wide(a.read(part.index).reshape(-1)) - _wide(b.read(part.index).reshape(-1)))
    difference[~np.isfinite(difference)] = -1.0
    return part.start + int(difference.argmax())


def _ratio(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole else math.inf


def _cosine(sums: _Sums) -> float:
    """Two tensors of zeros point the same way."""
    square_a, square_b = sums.square_a, sums.rows.reference
    if square_a == 0 or square_b == 0:
        return 1.0 if square_a == square_b else 0.0
    return max(-1.0, min(1.0, sums.dot / (math.sqrt(square_a) * math.sqrt(square_b))))


def by_statistics(a: Statistics, b: Statistics, tolerance: Tolerance) -> Distance:
    """What the statistics alone tell: equal ones prove nothing, different ones that the tensors differ."""
    pairs = [(a.min, b.min), (a.max, b.max), (a.mean, b.mean), (a.std, b.std)]
    root = math.sqrt(max(1, b.numel))
    pairs.append((a.l2 / root, b.l2 / root))
    unlike = abs(a.nan - b.nan) + abs(a.posinf - b.posinf) + abs(a.neginf - b.neginf)
    apart = max((abs(x - y) for x, y in pairs if not (math.isnan(x) and math.isnan(y))), default=0.0)
    off = unlike > 0 or not all(_near(x, y, tolerance) for x, y in pairs)
    return Distance(
        numel=b.numel,
        off=int(off),
        far=int(off),
        max_abs=apart,
        max_rel=_ratio(apart, max((abs(y) for _, y in pairs if not math.isnan(y)), default=0.0)),
        relative=_ratio(abs(a.l2 - b.l2), b.l2) if a.finite_count or b.finite_count else 0.0,
        cosine=math.nan,
        unlike=unlike,
        worst=None,
        worst_a=math.nan,
        worst_b=math.nan,
        scale=b.l2 / root,
        by_statistics=True,
    )


def _near(x: float, y: float, tolerance: Tolerance) -> bool:
    """A file may say NaN of its own values: that is near nothing but itself."""
    return x == y or abs(x - y) <= tolerance.atol + tolerance.rtol * abs(y) or (math.isnan(x) and math.isnan(y))
