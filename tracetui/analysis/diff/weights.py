"""Whether two runs were made with the same weights, by what their traces remember of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from tracetui.recording.trace import Trace
from tracetui.recording.weight_prints import WeightPrint, WeightPrints

_ROUNDING = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""By how much rounding to a dtype may change a number, twice over."""
_FINEST = 2.0**-22


@dataclass(frozen=True, slots=True)
class WeightPair:
    """A weight that isn't the same on both sides."""

    name: str
    a: WeightPrint
    b: WeightPrint
    relative: float
    """|a - b|/|b| of what is remembered and finite; 0 where only others differ, infinite for other shapes."""

    @property
    def is_measured(self) -> bool:
        """Whether both sides have it in one shape."""
        return isfinite(self.relative)

    @property
    def owner(self) -> str:
        """The path of the module whose parameter it is; of one of many experts that expert's."""
        name, bracket, row = self.name.partition("[")
        path = name.rpartition(".")[0]
        return f"{path}.{row[:-1]}" if bracket and row != "rows]" else path


@dataclass(frozen=True, slots=True)
class WeightDifferences:
    """Which weights differ between two runs."""

    compared: int
    """How many both traces remember."""
    pairs: tuple[WeightPair, ...]
    """Those that differ, in the order in which A read them."""

    @property
    def quantised(self) -> str:
        """Whose differing weights come from a quantised file: `A`, `B`, `both`, or empty."""
        sides = [
            any("dequantised" in print_.provenance for print_ in prints)
            for prints in ((pair.a for pair in self.pairs), (pair.b for pair in self.pairs))
        ]
        return {(True, True): "both", (True, False): "A", (False, True): "B"}.get((sides[0], sides[1]), "")

    @property
    def original(self) -> str:
        """The side whose weights the other side's are, quantised: `A`, `B`, or empty where that can't be told."""
        return {"A": "B", "B": "A"}.get(self.quantised, "")

    def of(self, *paths: str) -> tuple[WeightPair, ...]:
        """Those of these modules' own parameters."""
        return tuple(pair for pair in self.pairs if pair.owner in paths)


def weight_differences(a: Trace, b: Trace) -> WeightDifferences:
    """Compare what two traces remember of their weights."""
    names = [name for name in a.weights if name in b.weights and a.weights[name].rows == b.weights[name].rows]
    apart = ((name, difference(a.weights, b.weights, name)) for name in names)
    pairs = (WeightPair(name, a.weights[name], b.weights[name], by) for name, by in apart if by is not None)
    return WeightDifferences(len(names), tuple(pairs))


def difference(a: WeightPrints, b: WeightPrints, name: str) -> float | None:
    """How far a weight is from the other side's, relative to it; None where it is the same but for its dtype."""
    one, other = a[name], b[name]
    if one.shape != other.shape or len(one.sample) != len(other.sample):
        return inf
    if one.dtype == other.dtype and one.digest == other.digest:
        return None
    x, y = np.array(one.sample), np.array(other.sample)
    finite = np.isfinite(x) & np.isfinite(y)
    alike = ~finite & ((x == y) | (np.isnan(x) & np.isnan(y)))
    if one.dtype != other.dtype:
        coarsest = max(_ROUNDING.get(dtype, _FINEST) for dtype in (one.dtype, other.dtype))
        with np.errstate(invalid="ignore"):
            alike |= finite & (np.abs(x - y) <= coarsest * np.abs(y))
        if bool(alike.all()):
            return None
    x, y = x[finite], y[finite]
    norm = float(np.linalg.norm(y))
    return float(np.linalg.norm(x - y)) / norm if norm else float(bool(np.any(x)))
