"""A tensor's elements counted in bins, over all of their range or where almost all of them lie."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tracetui.analysis.distribution.bit_counts import BitCounts, Counts, Floats
from tracetui.analysis.distribution.blocks import Numbers
from tracetui.analysis.distribution.robust_range import RobustRange

_LARGEST = float(np.finfo(np.float64).max)
_WIDEST = 1e300
"""Beyond it the distance of two numbers may have no number."""


class HistogramScale(StrEnum):
    """Which part of the range the bins share, and how."""

    LINEAR = "linear"
    """Bins of one width where almost all elements lie; what lies beyond is counted at each end."""
    SYMLOG = "symlog"
    """Bins by decades on both sides of zero, over the whole range."""
    FULL = "full"
    """Bins of one width over the whole range."""


@dataclass(frozen=True, eq=False, slots=True)
class Histogram:
    """Counts of the finite elements, and how many were not."""

    edges: Floats
    """[bins + 1], rising. Whole numbers are counted in bins centred on them."""
    counts: Counts
    """[bins]; a bin holds its lower edge, the last one its upper edge too."""
    low: float = 0.0
    """The smallest finite element."""
    high: float = 0.0
    nan: int = 0
    posinf: int = 0
    neginf: int = 0
    scale: HistogramScale = HistogramScale.FULL
    below: int = 0
    """Finite elements below the first edge."""
    above: int = 0
    unit: float = 1.0
    """Symlog: the size around which its decades begin."""

    @property
    def finite(self) -> int:
        return int(self.counts.sum()) + self.below + self.above

    @property
    def cut(self) -> bool:
        """Whether any element lies beyond the edges."""
        return bool(self.below or self.above)

    def positions(self, numbers: Floats) -> Floats:
        """Where numbers lie from the first edge, 0, to the last, 1, on the histogram's own scale."""
        ends = self.edges[[0, -1]]
        if self.scale is HistogramScale.SYMLOG:
            places, (first, last) = np.arcsinh(numbers / self.unit), np.arcsinh(ends / self.unit)
        else:
            # In units of the larger end: the distance of two large numbers may have no number.
            places, (first, last) = numbers / np.abs(ends).max(), ends / np.abs(ends).max()
        positions: Floats = (places - first) / (last - first)
        return positions


EMPTY_HISTOGRAM = Histogram(np.array([0.0, 1.0]), np.zeros(1, np.int64))


def linear_edges(low: float, high: float, bins: int, whole: bool) -> Floats:
    """Edges of bins of one width; whole numbers never share one unevenly."""
    return whole_edges(low, high, bins) if whole else real_edges(low, high, bins)


def real_edges(low: float, high: float, bins: int) -> Floats:
    """Edges of equal bins from `low` to `high`; around a single value, or values too close to tell apart, fewer."""
    if low == high:
        pad = max(abs(low) / 2, 0.5)
        return np.clip([low - pad, low + pad], -_LARGEST, _LARGEST)
    if max(abs(low), abs(high)) < _WIDEST:
        return np.unique(np.linspace(low, high, bins + 1))
    parts = np.linspace(0.0, 1.0, bins + 1)
    return np.unique(low * (1 - parts) + high * parts)


def whole_edges(low: float, high: float, bins: int) -> Floats:
    """Edges half-way between whole numbers, every bin holding the same number of them."""
    # In integers: beyond 2^53 a float's quotient may fall short of them.
    span = int(high) - int(low) + 1
    each = -(-span // bins)
    used = -(-span // each)
    return low - 0.5 + each * np.arange(used + 1, dtype=np.float64)


def symlog_histogram(bits: BitCounts, span: RobustRange, low: float, high: float, bins: int) -> Histogram:
    """The histogram by decades of numbers from `low` to `high`, counted by their bits already."""
    places = np.linspace(np.arcsinh(low / span.unit), np.arcsinh(high / span.unit), bins + 1)
    inner = np.clip(np.sinh(places[1:-1]) * span.unit, low, high)
    edges = bits.edges_near(np.concatenate([bits.low[:1], inner, bits.high[-1:]]))
    return Histogram(edges, bits.between(edges), low, high, scale=HistogramScale.SYMLOG, unit=span.unit)


def count(numbers: Numbers, edges: Floats) -> Counts:
    """How many numbers fall into each bin; those beyond the edges into none. [bins]"""
    wide = numbers.reshape(-1).astype(np.float64)
    if _are_even(edges):
        # Numpy knows even bins and need not search for each number.
        return np.histogram(wide, len(edges) - 1, (edges[0], edges[-1]))[0].astype(np.int64)
    return np.histogram(wide, edges)[0].astype(np.int64)


def _are_even(edges: Floats) -> bool:
    """Whether numpy would make just these of their ends."""
    if np.abs(edges).max() > _WIDEST or not (np.diff(edges) > 0).all():
        return False
    return np.array_equal(edges, np.linspace(edges[0], edges[-1], len(edges)))
