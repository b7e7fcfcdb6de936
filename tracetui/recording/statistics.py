"""The statistics of one tensor: what they are, and their exact reference form over numpy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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


def without_finite(numel: int, nan: int = 0, posinf: int = 0, neginf: int = 0) -> Statistics:
    """The statistics of a tensor that has no finite element: nothing but counts."""
    none = math.nan
    return Statistics(numel, none, none, none, none, none, nan, posinf, neginf, 0)


NO_STATISTICS = without_finite(0)
"""Of a tensor without elements."""


def of_array(array: npt.NDArray[np.generic]) -> Statistics:
    """The statistics of an array, in float64 and two passes: the reference that faster ways must equal.

    Complex numbers count with their magnitude.
    """
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
    kept = [part for part in every if part.finite_count]
    count = sum(part.finite_count for part in kept)
    if not count:
        counts = (sum(getattr(part, name) for part in every) for name in ("numel", "nan", "posinf", "neginf"))
        return without_finite(*counts)
    mean = math.fsum(part.mean * (part.finite_count / count) for part in kept)
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
        min=min(part.min for part in kept),
        max=max(part.max for part in kept),
        nan=sum(part.nan for part in every),
        posinf=sum(part.posinf for part in every),
        neginf=sum(part.neginf for part in every),
        zeros=sum(part.zeros for part in every),
    )
