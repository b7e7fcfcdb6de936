"""How far two tensors may be apart and still count as the same, by dtype (the table stands in docs/diff.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

_FLOATS = {
    "complex128": 1e-9,
    "float64": 1e-9,
    "complex64": 2e-5,
    "float32": 2e-5,
    "float16": 2e-3,
    "bfloat16": 1.6e-2,
    "float8_e4m3fn": 7e-2,
    "float8_e4m3fnuz": 7e-2,
    "float8_e5m2": 1.4e-1,
    "float8_e5m2fnuz": 1.4e-1,
}
"""Finest first. About sixteen times a float's rounding, for the sums behind it; an fp8 value's rounding alone."""
_SLACK = 8.0
"""Rounding that adds up over the layers is spread like a bell: few elements lie beyond its usual size, none so far."""
_COARSEST = 1.4e-1
"""Of a narrow float that the table doesn't have."""
_WHOLE = 2.0
"""How many times rtol all rows together may be off, rounding of many layers added up."""
_SIGMAS = 3.0
"""Standard deviations by which chance may take the root mean square of some errors beyond the usual."""
_ROW = 4.0
"""How many times rtol one row may be off: some tokens round worse than others."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """An element is off where |a - b| > atol + rtol·|b|."""

    rtol: float
    atol: float
    """Where `per_row` is more than 0 it stands for the whole tensor alone, at B's root mean square."""
    slack: float = 1.0
    """An element that is off by more than so many times the tolerance is far off: one makes the tensors differ."""
    per_row: float = 0.0
    """If more than 0, what an element is held to in place of atol, in units of the root mean square of its row of B."""

    def of_whole(self, numel: int) -> float:
        """How far all of so many elements together may be off, relative: few may be off by more, by chance."""
        return _WHOLE * self.rtol * (1 + _SIGMAS / math.sqrt(2 * max(1, numel)))

    def of_row(self, rows: int, width: int) -> float:
        """How far the worst of so many rows may be off, relative, if each has so many elements.

        Errors that are independent add up to more than usual in some rows, the more so the narrower these are.
        """
        chance = math.sqrt(2 * math.log(rows) / width) if rows > 1 and width else 0.0
        return _ROW * self.rtol * (1 + chance)

    @property
    def exact(self) -> bool:
        return self.rtol == self.atol == 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user said; None is by dtype."""

    rtol: float | None = None
    atol: float | None = None

    def tolerance(self, dtype_a: str, dtype_b: str, scale: float, inherited: float = 0.0) -> Tolerance:
        """For a pair of dtypes: that of the coarser one; atol counts in units of `scale`, B's root mean square.

        `inherited` is the unit of what it was computed from, which its own dtype can't make finer.
        """
        unit = unit_of(dtype_a, dtype_b)
        unit = max(unit, inherited) if unit else unit
        rtol = unit if self.rtol is None else self.rtol
        atol = unit * scale if self.atol is None else self.atol
        own = self.rtol is None and self.atol is None and unit > 0
        return Tolerance(rtol, atol, _SLACK if own else 1.0, unit if self.atol is None else 0.0)


@lru_cache(maxsize=256)
def unit_of(dtype_a: str, dtype_b: str) -> float:
    """How far apart, relative, values of two dtypes are by rounding alone: the coarser one's."""
    return max(_unit(dtype_a), _unit(dtype_b))


def _unit(dtype: str) -> float:
    if dtype == "bool" or dtype.startswith(("int", "uint")):
        return 0.0
    return _FLOATS.get(dtype, _COARSEST)
