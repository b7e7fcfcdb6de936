"""All quantiles and all decades of a tensor in one pass: its numbers counted by their leading bits.

A float's bits without the sign are in the order of its size, so that sign, exponent and the first 7 bits of the
fraction make bins less than 0.8 % wide over the whole range: 65,536 of them for float32, 524,288 for float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.analysis.distribution.blocks import Numbers

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_FRACTION = 7
"""Bits of the fraction that are told apart."""


@dataclass(frozen=True, eq=False, slots=True)
class BitCounts:
    """The bins that hold anything, from the lowest to the highest."""

    low: Floats
    """[bins], rising: a bin holds every number from its `low` up to, and without, its `high`."""
    high: Floats
    counts: Counts
    """[bins], none of them 0."""

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @property
    def middle(self) -> Floats:
        return self.low / 2 + self.high / 2

    def edges_near(self, edges: Floats) -> Floats:
        """Rising edges at or beside these, none of which cuts a bin in two."""
        bins = np.searchsorted(self.low, edges, "right") - 1  # [edges]
        low, high = self.low[np.maximum(bins, 0)], self.high[np.maximum(bins, 0)]
        inside = (bins >= 0) & (edges < high)
        nearer = np.where(edges / 2 - low / 2 <= high / 2 - edges / 2, low, high)
        return np.unique(np.where(inside, nearer, edges))

    def between(self, edges: Floats) -> Counts:
        """How many numbers lie from each edge up to the next; exact for edges that cut no bin. [edges - 1]"""
        so_far = np.concatenate([[0], np.cumsum(self.counts)])  # [bins + 1]
        return np.diff(so_far[np.searchsorted(self.low, edges, "left")])


class BitCounter:
    """Counts one block after another, all of them of one dtype."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, np.int64)
        self._dtype: type[np.float32] | type[np.float64] = np.float32

    def add(self, numbers: Numbers) -> None:
        """Count finite numbers."""
        self._dtype = np.float64 if numbers.dtype == np.float64 else np.float32
        bins = 1 << _kept_bits(self._dtype)
        counts = np.bincount(_places(numbers.reshape(-1)), minlength=bins)
        self._counts = self._counts + counts if self._counts.size else counts

    def counts(self) -> BitCounts:
        """What was counted so far."""
        used = np.flatnonzero(self._counts)
        return BitCounts(_edge(used, self._dtype), _edge(used + 1, self._dtype), self._counts[used])


def _kept_bits(dtype: type[np.float32] | type[np.float64]) -> int:
    return 1 + np.finfo(dtype).nexp + _FRACTION


def _places(numbers: Numbers) -> Counts:
    """The bin of each number: its bits as a whole number that rises with it, without the last ones."""
    wide = numbers.dtype == np.float64
    ordered: npt.NDArray[np.signedinteger] = numbers.view(np.int64 if wide else np.int32)
    bits, kept = (64, _kept_bits(np.float64)) if wide else (32, _kept_bits(np.float32))
    sign = ordered >> (bits - 1)  # 0 or -1
    ordered = ordered & np.iinfo(ordered.dtype).max
    ordered ^= sign
    ordered -= sign
    ordered >>= bits - kept
    ordered += 1 << (kept - 1)
    places: Counts = ordered.astype(np.int64, copy=False)
    return places


def _edge(places: npt.NDArray[np.int64], dtype: type[np.float32] | type[np.float64]) -> Floats:
    """The smallest number of each bin."""
    kept = _kept_bits(dtype)
    ordered = places - (1 << (kept - 1))
    integer, bits = (np.int64, 64) if dtype is np.float64 else (np.int32, 32)
    size = (np.abs(ordered) << (bits - kept)).astype(integer).view(dtype).astype(np.float64)
    # The bin of the largest numbers ends at infinity.
    largest = float(np.finfo(np.float64).max) if dtype is np.float64 else 2.0**128
    return np.clip(np.where(ordered < 0, -size, size), -largest, largest)
