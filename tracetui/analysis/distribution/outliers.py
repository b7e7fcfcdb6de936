"""What a tensor's few largest elements do to it: how heavy the tails are, where the largest is, and whose it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.analysis.distribution.bit_counts import Floats
from tracetui.analysis.distribution.blocks import BLOCK, Numbers, as_floats, blocks, counted_statistics
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Index, Value

_FURTHER = 2
_FAR = 10.0
"""How many times the part that each channel would have if all were alike."""
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outliers:
    """Of the finite elements."""

    kurtosis: float = math.nan
    """The mean fourth power of (element - mean) / std: 3 for a normal distribution, NaN where all are alike."""
    largest: tuple[int, ...] | None = None
    """Indices of the element of the largest size, the first of several; None where none is finite."""
    value: float = math.nan
    """That element; a complex one's magnitude."""
    channel: int | None = None
    """The index of the last axis with the largest sum of squares; None for less than two axes, or for zeros alone."""
    share: float = math.nan
    """That channel's part of the tensor's sum of squares."""
    further: tuple[tuple[int, float], ...] = ()
    """The next channels, at most two, with their parts, where these are outliers among all channels'."""


NO_OUTLIERS = Outliers()


def outliers_of(value: Value) -> Outliers:
    """Of a whole tensor, read in blocks. Raises NotKeptError."""
    statistics = counted_statistics(value, BLOCK)
    if not statistics.finite_count:
        return NO_OUTLIERS
    counter = OutlierCounter(value.shape, statistics, BLOCK)
    for index in blocks(value.shape, BLOCK):
        counter.add(index, as_floats(value.read(index)))
    return counter.outliers()


class OutlierCounter:
    """Takes one block of a tensor after another."""

    def __init__(self, shape: tuple[int, ...], statistics: Statistics, limit: int) -> None:
        """limit: elements of a block; channels are told apart where all of them fit into one."""
        self._statistics = statistics
        self._fourth = 0.0
        self._largest: tuple[int, ...] | None = None
        self._value = math.nan
        channels = shape[-1] if len(shape) > 1 and shape[-1] <= limit else 0
        self._squares: Floats = np.zeros(channels)  # [channels]

    def add(self, index: Index, numbers: Numbers) -> None:
        """Take the block `index` of the tensor."""
        if not numbers.size:
            return
        wide: Floats = numbers.astype(np.float64).reshape(-1)  # [n], as numpy makes a scalar of what has no axes
        bad = None if self._statistics.finite else ~np.isfinite(wide)
        if bad is not None:
            wide[bad] = 0
        self._find_largest(index, numbers.shape, wide, bad)
        self._add_powers(wide, bad)

    def _find_largest(self, index: Index, shape: tuple[int, ...], wide: Floats, bad: _Mask | None) -> None:
        sizes = np.abs(wide)
        if bad is not None:
            sizes[bad] = -1
        first = int(sizes.argmax())
        if sizes[first] >= 0 and (self._largest is None or sizes[first] > abs(self._value)):
            place = tuple(map(int, np.unravel_index(first, shape)))
            self._largest, self._value = _within(index, place), float(wide[first])

    def _add_powers(self, wide: Floats, bad: _Mask | None) -> None:
        if self._statistics.std > 0:
            deviations = (wide - self._statistics.mean) / self._statistics.std
            if bad is not None:
                deviations[bad] = 0
            self._fourth += float(np.square(np.square(deviations)).sum())
        if self._squares.size and self._statistics.absmax > 0:
            scaled = (wide / self._statistics.absmax).reshape(-1, self._squares.size)  # [n, channels]
            self._squares += np.square(scaled).sum(axis=0)

    def outliers(self) -> Outliers:
        """Of all blocks."""
        statistics, squares = self._statistics, float(self._squares.sum())
        kurtosis = self._fourth / statistics.finite_count if statistics.std > 0 else math.nan
        if not squares > 0:
            return Outliers(kurtosis, self._largest, self._value)
        first = np.argsort(-self._squares, kind="stable")[: 1 + _FURTHER].tolist()
        shares = [(channel, float(self._squares[channel]) / squares) for channel in first]
        further = tuple(share for share in shares[1:] if share[1] * self._squares.size >= _FAR)
        return Outliers(kurtosis, self._largest, self._value, *shares[0], further)


def _within(index: Index, place: tuple[int, ...]) -> tuple[int, ...]:
    """The place in the tensor of a place in its block."""
    rest = list(place)
    ahead = [part if isinstance(part, int) else (part.start or 0) + rest.pop(0) for part in index]
    return (*ahead, *rest)
