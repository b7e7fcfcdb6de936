"""How far apart two tensors are, measured block by block in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.tolerance import Tolerance
from tracetui.trace.npz.writer import blocks
from tracetui.trace.statistics import Statistics
from tracetui.trace.value import Array, Value

_BLOCK = 1 << 18
"""Bytes of a block in float64: several of them stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Distance:
    """All but `unlike` is over the elements that are finite on both sides."""

    numel: int
    off: int
    """Elements beyond the tolerance, unlike ones included."""
    far: int
    """Elements beyond it by more than its slack, unlike ones included."""
    max_abs: float
    max_rel: float
    """Of |a - b| / |b|, where b isn't zero."""
    relative: float
    """The norm of a - b, in units of b's norm."""
    cosine: float
    unlike: int
    """Elements that are NaN or infinite on one side and not, or not in the same way, on the other."""
    worst: tuple[int, ...] | None
    """Index of the first unlike element, else of the one with the largest |a - b|; None if there is no element."""
    worst_a: float
    worst_b: float
    scale: float
    """B's root mean square."""
    by_statistics: bool = False
    """Only the statistics were there to compare; `off` is then 1 or 0."""

    @property
    def share(self) -> float:
        """Of the elements that are off."""
        return self.off / self.numel if self.numel else 0.0


class _Sums:
    """What is added up over the blocks."""

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self.seen = self.off = self.far = self.unlike = 0
        self.max_abs, self.max_rel = 0.0, 0.0
        self.square_a = self.square_b = self.square_difference = self.dot = 0.0
        self.worst: int | None = None
        self.worst_a = self.worst_b = 0.0

    def add(self, a: Array, b: Array) -> None:
        """One block of each side, in the same order of elements."""
        x = _wide(a)
        if self.worst is not None and np.array_equal(a, b):
            self._add_equal(x)
            return
        y = _wide(b)
        difference = np.abs(x - y)
        if difference.size and not np.isfinite(difference.max()):
            finite = np.isfinite(x) & np.isfinite(y)
            self._count_unlike(x, y, finite)
            x, y = np.where(finite, x, 0), np.where(finite, y, 0)
            difference = np.abs(x - y)
        size = np.abs(y)
        self._count_off(a, b, difference, size)
        self._widen(x, y, difference, size)
        self.square_difference += _dot(difference, difference)
        self._add_sums(x, y)

    def _add_equal(self, x: Array) -> None:
        finite = np.isfinite(x)
        x = x if finite.all() else np.where(finite, x, 0)
        self._add_sums(x, x)

    def _add_sums(self, x: Array, y: Array) -> None:
        self.square_a += _dot(x, x)
        self.square_b += _dot(y, y)
        self.dot += _dot(x, y)
        self.seen += x.size

    def _count_off(self, a: Array, b: Array, difference: Array, size: Array) -> None:
        if self._tolerance.exact and a.dtype.kind in "iu" and b.dtype.kind in "iu":
            # Whole numbers beyond 2^53 look the same in float64.
            off = far = int(np.count_nonzero(a != b))
        else:
            allowed = self._tolerance.rtol * size + self._tolerance.atol
            off = far = int(np.count_nonzero(difference > allowed))
            if off and self._tolerance.slack > 1:
                far = int(np.count_nonzero(difference > self._tolerance.slack * allowed))
        self.off += off
        self.far += far

    def _count_unlike(self, x: Array, y: Array, finite: Array) -> None:
        unlike = ~finite & ~((x == y) | (np.isnan(x) & np.isnan(y)))
        count = int(np.count_nonzero(unlike))
        if count and not self.unlike:
            self._take(int(unlike.argmax()), x, y)
        self.unlike += count
        self.off += count
        self.far += count

    def _widen(self, x: Array, y: Array, difference: Array, size: Array) -> None:
        if not difference.size:
            return
        place = int(difference.argmax())
        if not self.unlike and (self.worst is None or float(difference[place]) > self.max_abs):
            self._take(place, x, y)
        self.max_abs = max(self.max_abs, float(difference[place]))
        ratio = np.divide(difference, size, out=np.zeros_like(size), where=size > 0)
        self.max_rel = max(self.max_rel, float(ratio.max()))

    def _take(self, place: int, x: Array, y: Array) -> None:
        self.worst = self.seen + place
        self.worst_a, self.worst_b = float(x[place].real), float(y[place].real)


def _dot(x: Array, y: Array) -> float:
    # Not BLAS: its threads cost more than they save on so few elements, most of all where other work runs.
    return float(np.einsum("i,i->", x.conj() if x.dtype.kind == "c" else x, y).real)


def _wide(block: Array) -> Array:
    return block.astype(np.complex128 if block.dtype.kind == "c" else np.float64, copy=False)


def distance(a: Value, b: Value, tolerance: Tolerance) -> Distance:
    """Between two values of one shape. Raises NotKeptError if either has none."""
    sums = _Sums(tolerance)
    with np.errstate(all="ignore"):
        for index in blocks(a.shape, np.dtype(np.float64).itemsize, _BLOCK):
            sums.add(a.read(index).reshape(-1), b.read(index).reshape(-1))
    return _distance(sums, a.shape)


def _distance(sums: _Sums, shape: tuple[int, ...]) -> Distance:
    worst = None if sums.worst is None else tuple(int(place) for place in np.unravel_index(sums.worst, shape))
    return Distance(
        numel=sums.seen,
        off=sums.off,
        far=sums.far,
        max_abs=sums.max_abs,
        # Beside a B that is zero wherever they differ, no multiple of it is large enough.
        max_rel=math.inf if sums.max_rel == 0 < sums.max_abs else sums.max_rel,
        relative=_ratio(math.sqrt(sums.square_difference), math.sqrt(sums.square_b)),
        cosine=_cosine(sums),
        unlike=sums.unlike,
        worst=worst,
        worst_a=sums.worst_a,
        worst_b=sums.worst_b,
        scale=math.sqrt(sums.square_b / sums.seen) if sums.seen else 0.0,
    )


def _ratio(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole else math.inf


def _cosine(sums: _Sums) -> float:
    """Two tensors of zeros point the same way."""
    if sums.square_a == 0 or sums.square_b == 0:
        return 1.0 if sums.square_a == sums.square_b else 0.0
    return max(-1.0, min(1.0, sums.dot / (math.sqrt(sums.square_a) * math.sqrt(sums.square_b))))


def by_statistics(a: Statistics, b: Statistics, tolerance: Tolerance) -> Distance:
    """What the statistics alone tell: equal ones prove nothing, different ones that the tensors differ."""
    pairs = [(a.min, b.min), (a.max, b.max), (a.mean, b.mean), (a.std, b.std)]
    root = math.sqrt(max(1, b.numel))
    pairs.append((a.l2 / root, b.l2 / root))
    unlike = abs(a.nan - b.nan) + abs(a.posinf - b.posinf) + abs(a.neginf - b.neginf)
    apart = max(abs(x - y) for x, y in pairs)
    off = unlike > 0 or not all(_near(x, y, tolerance) for x, y in pairs)
    return Distance(
        numel=b.numel,
        off=int(off),
        far=int(off),
        max_abs=apart,
        max_rel=_ratio(apart, max(abs(y) for _, y in pairs)),
        relative=_ratio(abs(a.l2 - b.l2), b.l2),
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
