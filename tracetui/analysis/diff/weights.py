"""Whether two runs were made with the same weights, by what their traces remember of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from tracetui.recording.record import layer_path
from tracetui.recording.trace import Trace
from tracetui.recording.weight_prints import WeightPrint

_ROUNDING = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""By how much rounding to a dtype may change a number, twice over."""
_FINEST = 2.0**-22


@dataclass(frozen=True, slots=True)
class Owner:
    """A module whose parameters both sides have, under names of their own."""

    a: str
    b: str
    site: str
    """In the sites' own names."""


@dataclass(frozen=True, slots=True)
class WeightPair:
    """A weight that isn't the same on both sides."""

    name: str
    a: WeightPrint
    b: WeightPrint
    relative: float
    """|a - b|/|b| of what is remembered and finite; 0 where only others differ, infinite for other shapes."""
    name_b: str = ""
    """What B calls it, if not as A does."""
    site: str = ""
    """The module whose parameter it is in the sites' own names, where A calls that otherwise."""

    @property
    def is_sampled(self) -> bool:
        """Whether single elements are all that is known of one of them."""
        return not (self.a.digest and self.b.digest)

    @property
    def is_measured(self) -> bool:
        """Whether both sides have it in one shape."""
        return isfinite(self.relative)

    @property
    def owner(self) -> str:
        """The path of the module whose parameter it is; of one of many experts that expert's."""
        if self.site:
            return self.site
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


def weight_differences(
    a: Trace, b: Trace, owners: Sequence[Owner] = (), agreeing: Set[str] = frozenset()
) -> WeightDifferences:
    """Compare what two traces remember of their weights.

    owners: modules that have other names in B. agreeing: those whose outputs are the same, by the sites' own names: of
    weights of which samples alone are known, theirs may be laid out otherwise, and are none that differ.
    """
    places = {**{name: (name, "") for name in a.weights if name in b.weights}, **_renamed(a, b, owners)}
    turned = _turned(a, b, {name: other for name, (other, _) in places.items()})
    compared, pairs = 0, []
    for name in a.weights:
        other, site = places.get(name, ("", ""))
        if not other or a.weights[name].rows != b.weights[other].rows:
            continue
        compared += 1
        pair = _compared(a.weights[name], b.weights[other], name, other, site)
        # A program may store a matrix in another layout, or a part of it on each rank.
        otherwise = pair is not None and (pair.owner in agreeing or not pair.is_measured or name in turned)
        if pair is not None and not (pair.is_sampled and otherwise):
            pairs.append(pair)
    return WeightDifferences(compared, tuple(pairs))


def _turned(a: Trace, b: Trace, places: Mapping[str, str]) -> set[str]:
    """Square matrices of A's layers in which all matrices that aren't square lie transposed, as GPT-2's do in B."""
    layers: dict[str, list[str]] = {}
    for name in places:
        if len(a.weights[name].shape) == 2 and (layer := layer_path(name)):
            layers.setdefault(layer, []).append(name)
    found: set[str] = set()
    for names in layers.values():
        shapes = {name: (a.weights[name].shape, b.weights[places[name]].shape) for name in names}
        others = [(one, other) for one, other in shapes.values() if one[0] != one[1]]
        if others and all(one == other[::-1] for one, other in others):
            found.update(name for name, (one, _) in shapes.items() if one[0] == one[1])
    return found


def _compared(one: WeightPrint, other: WeightPrint, name: str, name_b: str, site: str) -> WeightPair | None:
    by = difference(one, other)
    return None if by is None else WeightPair(name, one, other, by, "" if name == name_b else name_b, site)


def _renamed(a: Trace, b: Trace, owners: Sequence[Owner]) -> dict[str, tuple[str, str]]:
    """Of A's weights that B calls otherwise: what B calls them, and their module. Of one shape alone: a matrix that is
    stored in another layout isn't compared."""
    modules = {owner.a: owner for owner in owners if owner.a != owner.b}
    found = {}
    for name, weight in a.weights.items():
        path, _, own = name.rpartition(".")
        owner = modules.get(path)
        if owner is not None and name not in b.weights:
            other = b.weights.get(f"{owner.b}.{own}")
            if other is not None and other.shape == weight.shape:
                found[name] = f"{owner.b}.{own}", owner.site
    return found


def difference(one: WeightPrint, other: WeightPrint) -> float | None:
    """How far a weight is from the other side's, relative to it; None where it is the same but for its dtype."""
    if one.shape != other.shape or len(one.sample) != len(other.sample):
        return inf
    if one.dtype == other.dtype and one.digest and one.digest == other.digest:
        return None
    x, y = np.array(one.sample), np.array(other.sample)
    if not (one.digest and other.digest) and one.dtype == other.dtype and np.array_equal(x, y, equal_nan=True):
        return None
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
