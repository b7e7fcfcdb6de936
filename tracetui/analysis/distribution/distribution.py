"""A tensor's elements read in two passes: one for quantiles, decades and outliers, one for bins of one width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from tracetui.analysis.distribution.bit_counts import BitCounter, BitCounts
from tracetui.analysis.distribution.blocks import BLOCK, Numbers, as_floats, blocks, counted_statistics
from tracetui.analysis.distribution.histogram import (
    EMPTY_HISTOGRAM,
    Histogram,
    HistogramScale,
    count,
    linear_edges,
    symlog_histogram,
)
from tracetui.analysis.distribution.outliers import NO_OUTLIERS, OutlierCounter, Outliers
from tracetui.analysis.distribution.robust_range import RobustRange, robust_range
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Index, Value


@dataclass(frozen=True, eq=False, slots=True)
class Distribution:
    """What all elements of a tensor were read for."""

    histograms: Mapping[HistogramScale, Histogram]
    """One at least, in the order of the scales; where no element is an outlier, linear is the full range."""
    fitting: HistogramScale
    """The scale on which most can be seen."""
    robust: RobustRange
    outliers: Outliers


def distribution(value: Value, bins: int = 128, is_cancelled: Callable[[], bool] = lambda: False) -> Distribution:
    """The distribution of a whole tensor, its histograms of at most `bins` bins.

    Once it is cancelled no more is read, and the answer is that of an empty tensor. Raises NotKeptError.
    """
    statistics = counted_statistics(value, BLOCK, is_cancelled)
    if not statistics.finite_count:
        return _nothing(statistics)
    bits, outliers = BitCounter(), OutlierCounter(value.shape, statistics, BLOCK)
    for index, numbers in _read(value, is_cancelled):
        bits.add(_finite(numbers, statistics))
        outliers.add(index, numbers)
    if is_cancelled():
        return _nothing(statistics)
    counted, low, high = bits.counts(), statistics.min, statistics.max
    span = robust_range(counted, low, high, statistics.zeros)
    histograms = _linear(value, statistics, span, counted, bins, is_cancelled)
    if low < high:
        histograms[HistogramScale.SYMLOG] = symlog_histogram(counted, span, low, high, bins)
    complete = {
        scale: _complete(histograms[scale], scale, statistics) for scale in HistogramScale if scale in histograms
    }
    fitting = HistogramScale.SYMLOG if span.spans_decades else HistogramScale.LINEAR
    return Distribution(MappingProxyType(complete), fitting, span, outliers.outliers())


def _nothing(statistics: Statistics) -> Distribution:
    """Of a tensor without finite elements."""
    empty = _complete(EMPTY_HISTOGRAM, HistogramScale.LINEAR, statistics)
    linear = HistogramScale.LINEAR
    return Distribution(MappingProxyType({linear: empty}), linear, RobustRange(0.0, 0.0), NO_OUTLIERS)


def _complete(histogram: Histogram, scale: HistogramScale, statistics: Statistics) -> Histogram:
    """A histogram that knows its scale, and how many elements are not finite."""
    nan, posinf, neginf = statistics.nan, statistics.posinf, statistics.neginf
    return replace(histogram, scale=scale, nan=nan, posinf=posinf, neginf=neginf)


def _read(value: Value, is_cancelled: Callable[[], bool]) -> Iterator[tuple[Index, Numbers]]:
    for index in blocks(value.shape, BLOCK):
        if is_cancelled():
            return
        yield index, as_floats(value.read(index))


def _finite(numbers: Numbers, statistics: Statistics) -> Numbers:
    return numbers if statistics.finite else numbers[np.isfinite(numbers)]


def _linear(
    value: Value,
    statistics: Statistics,
    span: RobustRange,
    bits: BitCounts,
    bins: int,
    is_cancelled: Callable[[], bool],
) -> dict[HistogramScale, Histogram]:
    """Those with bins of one width: over the whole range, and where almost all elements lie if that is another."""
    low, high, whole = statistics.min, statistics.max, value.dtype.startswith(("int", "uint", "bool"))
    inner_low, inner_high = (math.ceil(span.low), math.floor(span.high)) if whole else (span.low, span.high)
    full_edges = linear_edges(low, high, bins, whole)  # [bins + 1]
    inner_edges = linear_edges(inner_low, inner_high, bins, whole)  # [bins + 1]
    full = np.zeros(len(full_edges) - 1, np.int64)
    inner = np.zeros(len(inner_edges) - 1, np.int64)
    for _, numbers in _read(value, is_cancelled):
        finite = _finite(numbers, statistics)
        # Of large whole numbers an edge may have no float of its own, and then falls short of the end.
        full += count(np.clip(finite.astype(np.float64), full_edges[0], full_edges[-1]), full_edges)
        if span.cut:
            inner += count(finite, inner_edges)
    whole_range = Histogram(full_edges, full, low, high)
    if not span.cut:
        return {HistogramScale.LINEAR: whole_range}
    below = int(bits.counts[bits.low < span.low].sum()) if span.cut_low else 0
    above = statistics.finite_count - int(inner.sum()) - below
    cut = Histogram(inner_edges, inner, low, high, below=below, above=above)
    return {HistogramScale.LINEAR: cut, HistogramScale.FULL: whole_range}
