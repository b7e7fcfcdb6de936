"""The statistics of one tensor: what they are, how compiled code takes them, and the exact reference over numpy."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tracetui.native.statistics import FloatSums, Rows


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics over a whole tensor; all but the counts are over its finite elements, and NaN if there is none."""

    numel: int
    l2: float
    """Square root of the sum of squares."""
    mean: float
    std: float
    """Population standard deviation: divided by the number of finite elements."""
    min: float
    max: float
    nan: int
    posinf: int
    neginf: int
    zeros: int
    """Elements equal to zero, of either sign."""

    @property
    def absmax(self) -> float:
        return max(abs(self.min), abs(self.max))

    @property
    def finite_count(self) -> int:
        """How many elements are finite: what the other numbers are of."""
        return self.numel - self.nan - self.posinf - self.neginf

    @property
    def finite(self) -> bool:
        return not (self.nan or self.posinf or self.neginf)


class _StatisticsFields:
    """Statistics that may be written to, until they are made: frozen from the start they take three times as long."""

    __slots__ = Statistics.__slots__

    def __init__(
        self,
        numel: int,
        l2: float,
        mean: float,
        std: float,
        low: float,
        high: float,
        nan: int,
        posinf: int,
        neginf: int,
        zeros: int,
    ) -> None:
        self.numel = numel
        self.l2 = l2
        self.mean = mean
        self.std = std
        self.min = low
        self.max = high
        self.nan = nan
        self.posinf = posinf
        self.neginf = neginf
        self.zeros = zeros
        self.__class__ = Statistics  # type: ignore[assignment]


_statistics = cast("type[Statistics]", _StatisticsFields)
"""`Statistics(…)` by position, where many are made."""


def without_finite(numel: int, nan: int = 0, posinf: int = 0, neginf: int = 0) -> Statistics:
    """The statistics of a tensor that has no finite element: nothing but counts."""
    none = math.nan
    return Statistics(numel, none, none, none, none, none, nan, posinf, neginf, 0)


_SMALLEST_SQUARED, _LARGEST_SQUARED = 1e-140, 1e150
"""Beyond these the squares of a float64 leave its range, or lose digits."""
NO_STATISTICS = without_finite(0)
"""Of a tensor without elements."""


def of_array(array: npt.NDArray[np.generic]) -> Statistics:
    """The statistics of an array: by compiled code where there is some for its dtype, else by numpy."""
    dense = array.flags.c_contiguous or array.flags.f_contiguous
    if dense and array.dtype.isnative and array.size:
        fast = of_memory(array.__array_interface__["data"][0], array.size, array.dtype.name)
        if fast is not None:
            return fast
    return by_numpy(array)


def of_memory(address: int, numel: int, dtype: str) -> Statistics | None:
    """The statistics of floats that lie one beside the other; None where only numpy can tell.

    `address` is that of the first element, which nobody may write or free meanwhile.
    """
    from tracetui.native.statistics import KINDS

    kind = KINDS.get(dtype)
    return None if kind is None else of_rows(array("q", (address, numel, kind)))[0]


def of_rows(rows: Rows) -> list[Statistics | None]:
    """The same of several rows of floats, in one call; each the address, the count and the dtype's number."""
    from tracetui.native.statistics import sums_of

    every = sums_of(rows)
    return [None] * (len(rows) // 3) if every is None else list(map(of_sums, every))


def of_sums(sums: FloatSums) -> Statistics | None:
    """What follows from sums over a tensor; None where its squares leave float64."""
    squares, mean, deviations, low, high, finite, nan, posinf, neginf, zeros = sums
    numel = finite + nan + posinf + neginf
    if not finite:
        return without_finite(numel, nan, posinf, neginf)
    largest = high if high > -low else -low
    if largest and not _SMALLEST_SQUARED < largest < _LARGEST_SQUARED:
        return None
    std = math.sqrt(deviations / finite)
    return _statistics(numel, math.sqrt(squares), mean, std, low, high, nan, posinf, neginf, zeros)


def by_numpy(array: npt.NDArray[np.generic]) -> Statistics:
    """The statistics of an array, in float64 and two passes: the reference that faster ways must equal.

    Complex numbers count with their magnitude.
    """
    import numpy as np

    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    elif np.iscomplexobj(array):
        array = np.abs(array)
    wide = array.astype(np.float64, copy=False).reshape(-1)
    finite = wide[np.isfinite(wide)]
    nan = int(np.isnan(wide).sum())
    posinf, neginf = int(np.isposinf(wide).sum()), int(np.isneginf(wide).sum())
    if finite.size == 0:
        return without_finite(wide.size, nan, posinf, neginf)
    low, high = float(finite.min()), float(finite.max())
    # Squares of values this large overflow float64 itself.
    scale = max(abs(low), abs(high)) if max(abs(low), abs(high)) > 1e150 else 1.0
    scaled = finite / scale
    return Statistics(
        numel=wide.size,
        l2=scale * float(np.sqrt(np.square(scaled).sum())),
        mean=scale * float(scaled.mean()),
        std=scale * float(scaled.std()),
        min=low,
        max=high,
        nan=nan,
        posinf=posinf,
        neginf=neginf,
        zeros=int((finite == 0).sum()),
    )


def merged(parts: Iterable[Statistics]) -> Statistics:
    """The statistics of a tensor from those of its parts: only one part need be in memory at a time."""
    every = list(parts)
    if len(every) == 1 and (every[0].numel == 1 or every[0].min < every[0].max):
        # What follows would come to the same.
        return every[0]
    kept = [part for part in every if part.finite_count]
    count = sum(part.finite_count for part in kept)
    if not count:
        counts = (sum(getattr(part, name) for part in every) for name in ("numel", "nan", "posinf", "neginf"))
        return without_finite(*counts)
    low, high = min(part.min for part in kept), max(part.max for part in kept)
    # Of elements that are all alike nothing is rounded: they have no spread.
    mean = low if low == high else math.fsum(part.mean * (part.finite_count / count) for part in kept)
    # The spread within the parts and that of their means, none of it squared before it is small.
    spread = math.hypot(
        *(part.std * math.sqrt(part.finite_count / count) for part in kept),
        *((part.mean - mean) * math.sqrt(part.finite_count / count) for part in kept),
    )
    return Statistics(
        numel=sum(part.numel for part in every),
        l2=math.hypot(*(part.l2 for part in kept)),
        mean=mean,
        std=spread,
        min=low,
        max=high,
        nan=sum(part.nan for part in every),
        posinf=sum(part.posinf for part in every),
        neginf=sum(part.neginf for part in every),
        zeros=sum(part.zeros for part in every),
    )
