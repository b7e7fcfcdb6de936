"""The one place that says which numbers are outliers, and whether what is left asks for a scale by decades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.analysis.distribution.bit_counts import BitCounts, Counts, Floats

_REACH = 8.0
"""Distances between the quartiles that a number may lie beyond them: of a normal distribution that is 11 deviations."""
_WIDER = 4.0
"""How many times wider all numbers must be spread than those near the quartiles before any is called an outlier."""
_MOST, _FEW = 10, 50
"""One of so many numbers may be an outlier, and always a single one; of so many, and a linear scale hides little."""
_DECADES = 40.0
"""How many times wider than its middle four fifths a range may be before a linear scale shows nearly all as one bar."""
_LEAST_UNIT = 1e-12
_CHART_DECADES = 100.0
"""How many times the smallest of a chart's values its largest must be for a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class RobustRange:
    """Where almost all numbers lie. Zeros are among them, but don't say how wide it is: a mask may have made them."""

    low: float
    high: float
    cut_low: bool = False
    """Whether there are outliers below `low`."""
    cut_high: bool = False
    spans_decades: bool = False
    """Whether a linear scale would leave out more than a few numbers, or show nearly all in one place."""
    unit: float = 1.0
    """A size that nineteen of twenty numbers exceed, zeros aside: a scale by decades may begin there."""
    typical: float = 1.0
    """A size that half of the numbers exceed, zeros aside: below it nothing stands out."""

    @property
    def cut(self) -> bool:
        return self.cut_low or self.cut_high


def robust_range(bits: BitCounts, low: float, high: float, zeros: int) -> RobustRange:
    """Of numbers from `low` to `high`, so many of them zero, as they were counted by their bits."""
    largest = max(abs(low), abs(high))
    sample = _Sample(bits, largest or 1.0, zeros)
    if low == high or not sample.counts.any():
        return RobustRange(low, high, unit=largest or 1.0, typical=largest or 1.0)
    typical = sample.size(0.5) * largest or largest
    unit = max(sample.size(0.05), _LEAST_UNIT) * largest or largest
    first, last = sample.near()
    beyond = int(bits.counts[:first].sum() + bits.counts[last + 1 :].sum())
    within = sample.high[last] - sample.low[first]
    if not 0 < beyond <= max(1, bits.total // _MOST) or high / largest - low / largest < _WIDER * within:
        narrow = sample.is_narrow(high / largest - low / largest)
        return RobustRange(low, high, spans_decades=narrow, unit=unit, typical=typical)
    cut_low, cut_high = first > 0, last + 1 < len(bits.counts)
    inner_low = float(bits.low[first]) if cut_low else low
    inner_high = float(bits.high[last]) if cut_high else high
    decades = beyond > max(1, bits.total // _FEW) or sample.is_narrow(float(within))
    return RobustRange(inner_low, inner_high, cut_low, cut_high, decades, unit, typical)


def robust_range_of(values: Floats) -> RobustRange:
    """Of a few numbers [n], such as the points of a chart; those that are not finite don't count."""
    finite, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    if not finite.size:
        return RobustRange(0.0, 0.0)
    zeros = int(counts[finite == 0].sum())
    return robust_range(BitCounts(finite, finite, counts), float(finite[0]), float(finite[-1]), zeros)


def by_decades(values: Floats) -> bool:
    """Whether a chart of some values [n], all above zero, is better drawn by their logarithms."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() / _CHART_DECADES >= finite.min())


class _Sample:
    """Numbers in bins, in units of the largest one's size; the zeros among them don't count."""

    def __init__(self, bits: BitCounts, largest: float, zeros: int) -> None:
        self.low, self.high = bits.low / largest, bits.high / largest  # [bins], rising
        self._is_zero: npt.NDArray[np.bool_] = bits.low == 0
        self.counts = bits.counts - zeros * self._is_zero
        self._middle = self.low / 2 + self.high / 2
        self._quarter, self._three_quarters = self._quantile(0.25), self._quantile(0.75)

    def near(self) -> tuple[int, int]:
        """The first and the last bin near the quartiles; that of zero is, if anything was counted there."""
        lower, upper = self._quarter, self._three_quarters
        # Where half of the numbers are alike, what has about their size is near them.
        reach = _REACH * (upper - lower) or abs(upper) or 2.0
        near = np.flatnonzero((self._middle >= lower - reach) & (self._middle <= upper + reach) | self._is_zero)
        return int(near[0]), int(near[-1])

    def is_narrow(self, within: float) -> bool:
        """Whether nearly all of it lies in one place of a range that is so wide."""
        spread = self._quantile(0.9) - self._quantile(0.1)
        return bool(0 < spread * _DECADES < within)

    def size(self, share: float) -> float:
        """What this share of the numbers falls short of in size."""
        sizes = np.abs(self._middle)
        order = np.argsort(sizes, kind="stable")
        return _quantile(sizes[order], self.counts[order], share)

    def _quantile(self, share: float) -> float:
        return _quantile(self._middle, self.counts, share)


def _quantile(values: Floats, counts: Counts, share: float) -> float:
    """The value [n], rising, up to which this share of what was counted lies."""
    so_far = np.cumsum(counts)
    return float(values[np.searchsorted(so_far, share * so_far[-1], "left")])
