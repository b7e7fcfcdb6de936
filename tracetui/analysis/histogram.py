"""How a tensor's values are distributed, counted block by block so that memory stays bounded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.recording.value import Array, Index, Value, magnitudes

_BLOCK = 1 << 20
"""Elements read at one time."""

_LARGEST = float(np.finfo(np.float64).max)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Histogram:
    """Counts of the finite elements, and how many were not."""

    edges: Floats
    """[bins + 1], rising. Whole numbers are counted in bins centred on them."""
    counts: npt.NDArray[np.int64]
    """[bins]; a bin holds its lower edge, the last one its upper edge too."""
    low: float = 0.0
    """The smallest finite element."""
    high: float = 0.0
    nan: int = 0
    posinf: int = 0
    neginf: int = 0

    @property
    def finite(self) -> int:
        return int(self.counts.sum())


EMPTY_HISTOGRAM = Histogram(np.array([0.0, 1.0]), np.zeros(1, np.int64))


def histogram(value: Value, bins: int = 128) -> Histogram:
    """The histogram of a whole tensor in at most `bins` bins of one width; whole numbers never share one unevenly."""
    statistics = value.statistics()
    low, high = statistics.min, statistics.max
    other = (statistics.nan, statistics.posinf, statistics.neginf)
    if not statistics.finite_count:
        return Histogram(EMPTY_HISTOGRAM.edges, EMPTY_HISTOGRAM.counts, 0.0, 0.0, *other)
    whole = value.dtype.startswith(("int", "uint", "bool"))
    edges = (whole_edges if whole else real_edges)(low, high, bins)  # [bins + 1]
    counts = np.zeros(len(edges) - 1, np.int64)  # [bins]
    for index in blocks(value.shape, _BLOCK):
        counts += count(value.read(index), edges)
    counts.setflags(write=False)
    return Histogram(edges, counts, low, high, *other)


def real_edges(low: float, high: float, bins: int) -> Floats:
    """Edges of equal bins from `low` to `high`; around a single value, or values too close to tell apart, fewer."""
    if low == high:
        pad = max(abs(low) / 2, 0.5)
        return np.clip([low - pad, low + pad], -_LARGEST, _LARGEST)
    parts = np.linspace(0.0, 1.0, bins + 1)
    return np.unique(low * (1 - parts) + high * parts)


def whole_edges(low: float, high: float, bins: int) -> Floats:
    """Edges half-way between whole numbers, every bin holding the same number of them."""
    # In integers: beyond 2^53 a float's quotient may fall short of them.
    span = int(high) - int(low) + 1
    each = -(-span // bins)
    used = -(-span // each)
    return low - 0.5 + each * np.arange(used + 1, dtype=np.float64)


def count(array: Array, edges: Floats) -> npt.NDArray[np.int64]:
    """How many finite elements fall into each bin; complex numbers count with their magnitude. [bins]"""
    wide = magnitudes(array).astype(np.float64).reshape(-1)
    finite = np.clip(wide[np.isfinite(wide)], edges[0], edges[-1])
    return np.histogram(finite, edges)[0].astype(np.int64)


def blocks(shape: tuple[int, ...], limit: int) -> Iterator[Index]:
    """Indices that together cover an array once, each of at most `limit` elements where a single row allows it."""
    if not shape:
        yield ()
        return
    row = math.prod(shape[1:])
    if row <= limit:
        step = max(1, limit // max(row, 1))
        yield from ((slice(start, start + step),) for start in range(0, shape[0], step))
        return
    for at in range(shape[0]):
        yield from ((at, *rest) for rest in blocks(shape[1:], limit))
