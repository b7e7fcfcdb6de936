"""Whether two ways to the same numbers agree, as far as their dtype lets them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_ROUNDING = {"float64": 1e-6, "float32": 1e-6, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""What a sum in a dtype may be off by, relative to its terms: two roundings; in float32 those of a long sum."""
_COARSEST = 2.0**-2
"""The same for float8 and its like."""
Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Identity:
    """How far apart two computations of one tensor are."""

    difference: float
    """The largest absolute one; infinite where only one of both is a number. 0 where there is nothing to compare."""
    tolerance: float
    holds: bool


def identity(found: Numbers, expected: Numbers, dtype: str, scale: float) -> Identity:
    """Compare two arrays of one shape, of which one was computed in `dtype`, as a record names it.

    `scale` is the size of what was added up on the way, which decides what rounding may do: of softmax(scores)·V the
    largest |V|, of a weighted sum the sum of its weighted sizes. Equal infinities and NaN in one place agree.
    """
    return judged(largest_difference(found, expected), dtype, scale)


def judged(difference: float, dtype: str, scale: float) -> Identity:
    """A largest difference that is known already, against the tolerance of a dtype at a scale."""
    size = scale if np.isfinite(scale) else 0.0
    tolerance = _ROUNDING.get(dtype, _COARSEST) * float(size)
    return Identity(difference, tolerance, bool(difference <= tolerance))


def dot_size(rows: Numbers, columns: Numbers) -> float:
    """The size of what the products rows [T,K] · columns [S,K] add up: what their rounding grows with.

    It is the largest root of a sum of squared terms: errors of either sign largely cancel.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        one, other = np.square(rows, dtype=np.float32), np.square(columns, dtype=np.float32)
        sizes = one @ other.T  # [T,S]
    return float(np.sqrt(sizes.max(initial=0.0, where=np.isfinite(sizes))))


def long_sum(terms: int, dtype: str) -> float:
    """By how much rounding grows over a sum of so many terms; float16 and bfloat16 are summed in float32."""
    return max(1.0, terms**0.5 / 4) if dtype in ("float32", "float64") else 1.0


def largest_difference(found: Numbers, expected: Numbers) -> float:
    """The largest |found - expected|; infinite where one is a number and the other is not."""
    one, other = found.astype(np.float64), expected.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(one - other))
    return float(np.where(np.isnan(apart), np.inf, apart).max(initial=0.0))
