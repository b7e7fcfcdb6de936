"""How far apart two tensors are, measured block by block in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.diff.distances.columns import far_for_columns
from tracetui.analysis.diff.distances.compiled import differences_of
from tracetui.analysis.diff.distances.rows import (
    SHARE,
    Floats,
    RowDistance,
    RowLayout,
    RowPast,
    RowScales,
    index_of,
    row_layout,
    row_scales,
)
from tracetui.analysis.diff.distances.sums import Part, Sums, wide
from tracetui.analysis.diff.rounding.tolerance import Tolerance
from tracetui.recording.value import Array, ArrayValue, Value


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
    factor: float = 1.0
    """The number that times B is nearest to A."""

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


def _nothing() -> None:
    """For rows about which nothing else is known."""


def distance(a: Value, b: Value, tolerance: Tolerance) -> Distance:
    """Between two values of one shape. Raises NotKeptError if either has none."""
    return distance_and_norms(a, b, tolerance)[0]


def distance_and_norms(
    a: Value, b: Value, tolerance: Tolerance, past: Callable[[], RowPast | None] = _nothing
) -> tuple[Distance, Floats]:
    """Between two values of one shape, and the norms of B's rows.

    `past` returns what is known of how B's rows were computed. It is only called if the values differ without it, since
    it never makes a tolerance smaller.

    Raises NotKeptError if either has no values.
    """
    layout = row_layout(a.shape)
    if layout.is_one_block:
        block_a, block_b = a.read(), b.read()
        if (quick := _of_one_block(block_a, block_b, layout, tolerance)) is not None:
            return quick
        a, b = ArrayValue(block_a, a.dtype), ArrayValue(block_b, b.dtype)
    sums = Sums(tolerance, layout)
    parts: list[Part] = []
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
            parts.append(Part(index, start, greatest))
            if sums.seen % layout.width == 0:
                _end_row(sums, a, b, parts)
                parts.clear()
        found = _distance(sums, a, b, None)
        if (found.far or sums.rows.has_far or found.beyond(tolerance)) and (known := past()) is not None:
            found = _distance(sums, a, b, known)
        return found, sums.rows.norms


def _of_one_block(a: Array, b: Array, layout: RowLayout, tolerance: Tolerance) -> tuple[Distance, Floats] | None:
    """The same of arrays that one compiled pass tells all of; None where they may differ, or aren't all finite."""
    known = differences_of(a.reshape(layout.rows, -1), b.reshape(layout.rows, -1), tolerance, True, judges=True)
    if known is None or known[0].far_rows:
        return None
    sums, rows = known
    numel, square_a, reference = layout.rows * layout.width, sums.square_a, sums.reference
    row = None
    if layout.rows > 1 and not tolerance.exact and sums.greatest:
        ruler = max(sums.norm, SHARE * sums.usual)
        row = RowDistance(
            layout.index(sums.row), ratio(sums.apart, ruler), sums.judged, sums.norm, layout.rows, layout.width
        )
    distance = Distance(
        numel,
        sums.off,
        0,
        sums.greatest,
        math.inf if sums.greatest_ratio == 0 < sums.greatest else sums.greatest_ratio,
        ratio(math.sqrt(sums.difference), math.sqrt(reference)),
        cosine(square_a, reference, sums.dot),
        0,
        index_of(sums.row * layout.width + sums.column, layout.shape),
        sums.worst_a,
        sums.worst_b,
        math.sqrt(reference / numel),
        row=row,
        levelled=sums.levelled,
        factor=sums.dot / reference if reference else 1.0,
    )
    return None if distance.beyond(tolerance) else (distance, rows[1])


def _end_row(sums: Sums, a: Value, b: Value, parts: Sequence[Part]) -> None:
    """Of a row that was too long for one block, remember its worst part, and count what is off in it.

    Only parts with a large difference are read again.
    """
    row = sums.seen // sums.rows.layout.width - 1
    sums.worst_parts[row] = max(parts, key=lambda part: part.greatest)
    allowed = sums.allowed(row) if sums.tolerance.per_row else math.inf
    for part in parts:
        if part.greatest > allowed:
            sums.count_off(a.read(part.index).reshape(1, -1), b.read(part.index).reshape(1, -1), row)


def _distance(sums: Sums, a: Value, b: Value, past: RowPast | None) -> Distance:
    known = row_scales(sums.rows.norms, past) if sums.max_abs else None
    judged = np.zeros(1) if known is None else sums.rows.judged(known.scales)
    row = int(judged.argmax()) if judged.size else 0
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
        relative=ratio(math.sqrt(difference), math.sqrt(reference)),
        cosine=cosine(sums.square_a, reference, sums.dot),
        unlike=sums.unlike,
        worst=worst,
        worst_a=worst_a,
        worst_b=worst_b,
        scale=math.sqrt(reference / sums.seen) if sums.seen else 0.0,
        row=_row(sums, known, row, float(judged[row])) if known is not None and several else None,
        levelled=known.levelled(judged) if known is not None else 0.0,
        factor=sums.dot / reference if reference else 1.0,
    )
    if known is None or not sums.rows.has_far:
        return found
    return replace(found, far=found.far + _far(sums, a, b, known, found))


def _far(sums: Sums, a: Value, b: Value, known: RowScales, found: Distance) -> int:
    """How many rows have an element that is far off; what is far off in a huge channel alone doesn't count."""
    tolerance = sums.tolerance
    rows = sums.rows.far(known.scales, tolerance.slack * tolerance.per_row)
    if found.far or tolerance.slack <= 1 or found.beyond(tolerance):
        return int(rows.size)
    return far_for_columns(a, b, sums.rows.layout, rows, known, tolerance)


def _row(sums: Sums, known: RowScales, row: int, judged: float) -> RowDistance:
    layout, norm = sums.rows.layout, float(known.norms[row])
    relative = ratio(float(sums.rows.apart[row]), float(known.ruler(row)))
    return RowDistance(layout.index(row), relative, judged, norm, layout.rows, layout.width)


def _worst(sums: Sums, a: Value, b: Value, row: int) -> tuple[tuple[int, ...] | None, float, float]:
    """The first unlike element, or the one that is furthest apart in a row: its index, and both values."""
    layout = sums.rows.layout
    if not sums.seen:
        return None, 0.0, 0.0
    if sums.block is not None and sums.first_unlike is None:
        x, y = wide(sums.block[0][row]), wide(sums.block[1][row])  # [width]
        column = int(np.abs(x - y).argmax()) if sums.max_abs else 0
        return index_of(row * layout.width + column, layout.shape), float(x[column].real), float(y[column].real)
    if sums.first_unlike is not None:
        place = sums.first_unlike
    else:
        place = row * layout.width + (_furthest_in_row(sums, a, b, row) if sums.max_abs else 0)
    index = index_of(place, layout.shape)
    one, other = (wide(value.read(index).reshape(1))[0] for value in (a, b))
    return index, float(one.real), float(other.real)


def _furthest_in_row(sums: Sums, a: Value, b: Value, row: int) -> int:
    """The place of the largest |a - b| of what is finite."""
    part = sums.worst_parts.get(row) or Part(sums.rows.layout.index(row), 0, 0.0)
    difference = np.abs(wide(a.read(part.index).reshape(-1)) - wide(b.read(part.index).reshape(-1)))
    difference[~np.isfinite(difference)] = -1.0
    return part.start + int(difference.argmax())


def ratio(part: float, whole: float) -> float:
    """Of something beside nothing it is infinite."""
    if part == 0:
        return 0.0
    return part / whole if whole else math.inf


def cosine(square_a: float, square_b: float, dot: float) -> float:
    """Of the sums of squares and of products; two tensors of zeros point the same way."""
    if square_a == 0 or square_b == 0:
        return 1.0 if square_a == square_b else 0.0
    return max(-1.0, min(1.0, dot / (math.sqrt(square_a) * math.sqrt(square_b))))
