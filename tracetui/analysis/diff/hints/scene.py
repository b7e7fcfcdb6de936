"""What a pattern is looked for in: the tensor that differs, and those that feed it, of both sides alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracetui.analysis.diff.arrays import Both, Numbers, both, one_side
from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.mapping.families import common_name
from tracetui.analysis.mapping.layouts import layouts
from tracetui.recording.record import Record, plain_site

EXPLAINED = 0.05
"""How much of a difference a pattern may leave over, by norm: it explains 99.75 % of the square."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A known pattern that a difference has."""

    name: str
    """For machines: `rope-layout`, `bias`."""
    title: str
    evidence: str
    """In numbers."""


class Scene:
    """The first divergence and its surroundings."""

    def __init__(self, comparison: Comparison, site: SiteDiff, fed: Feeds) -> None:
        self.comparison = comparison
        self.site = site
        self.fed = fed
        self.config: Mapping[str, object] = {**comparison.b.run.config, **comparison.a.run.config}
        self._by_name = _by_name(site.site for site in comparison.sites)
        self._by_site = {found.site: found for found in comparison.sites}

    @property
    def record(self) -> Record:
        return self.site.pair.record

    @property
    def leaf(self) -> str:
        """The module's own name, or `:role`."""
        record = self.record
        return f":{record.role}" if record.role else plain_site(self.name).rpartition(".")[2]

    @cached_property
    def name(self) -> str:
        """The site in the terms in which patterns speak of all families' modules."""
        return common_name(self.site.site)

    @cached_property
    def target(self) -> Both:
        """What differs. Only where `sound`."""
        found = self.both(self.site)
        assert found is not None
        return found

    @property
    def sound(self) -> bool:
        """Whether there are numbers, finite and not too many, with an axis to look along."""
        found = self.both(self.site)
        return (
            found is not None and found.a.ndim > 0 and bool(np.isfinite(found.a).all() and np.isfinite(found.b).all())
        )

    @property
    def unit(self) -> float:
        """The tolerance of the dtypes, relative."""
        return max(self.site.tolerance.rtol if self.site.tolerance else 0.0, 1e-6)

    @property
    def limit(self) -> float:
        """How far off, relative, what a pattern makes may be from a tensor that it must make as a whole."""
        return max(1e-3, 4 * self.unit)

    def near(self, place: str) -> SiteDiff | None:
        """The site at another place of the same layer and call: `.self_attn:q`; or of a whole name."""
        return self._by_site.get(self._by_name.get(self.name_of(place), ""))

    def known(self, place: str) -> bool:
        """Whether either side recorded another place of the same layer and call."""
        return self.near(place) is not None or bool(self.alone(place))

    def alone(self, place: str) -> str:
        """The side that alone recorded another place; empty where both did, or none."""
        return self.comparison.alignment.alone.get(self._alone_by_name.get(self.name_of(place), ""), "")

    def own_of(self, place: str, side: str) -> Numbers | None:
        """One side's numbers at another place, whether or not the other has it."""
        near = self.near(place)
        if near is None:
            return self._one_side(place) if self.alone(place) == side else None
        sides = self.both(near)
        return None if sides is None else sides.a if side == "A" else sides.b

    def _one_side(self, place: str) -> Numbers | None:
        own = self._alone_by_name.get(self.name_of(place))
        return None if own is None else one_side(self.comparison, own)

    @cached_property
    def _alone_by_name(self) -> Mapping[str, str]:
        return _by_name(self.comparison.alignment.alone)

    def name_of(self, place: str) -> str:
        """The whole name of another place of the same layer and call."""
        layer = self.record.layer
        call = self.site.site.partition("@")[2]
        name = place if layer is None or place.startswith(("model", "lm_head")) else f"model.layers.{layer}{place}"
        return f"{name}@{call}" if call else name

    def beside(self, role: str) -> Both | None:
        """What another role of the same module holds, if both sides have it."""
        found = self.near(f"{self.place.rpartition(':')[0]}:{role}")
        return None if found is None else self.both(found)

    def lent(self, role: str) -> Numbers | None:
        """What another role holds; one side's where the other lacks it and all that feeds the site agrees."""
        return self.borrowed(f"{self.place.rpartition(':')[0]}:{role}")

    def borrowed(self, place: str) -> Numbers | None:
        """The same of another place of the layer, or of a whole name."""
        near = self.near(place)
        if near is not None:
            found = self.both(near)
            return None if found is None else found.a
        return self._one_side(place) if self.fed.agree else None

    @property
    def place(self) -> str:
        """The site within its layer, without call and part."""
        return plain_site(self.name).removeprefix(f"model.layers.{self.record.layer}")

    def fed_by(self, place: int = 0) -> Both | None:
        """An input of the site, if it was recorded on both sides."""
        return self.both(self.fed.found[place]) if place < len(self.fed.found) else None

    def fed_by_as_many(self) -> Both | None:
        """The nearest input that has as many elements as the site."""
        size = self.target.a.size
        found = (self.both(fed) for fed in reversed(self.fed.found))
        return next((both for both in found if both is not None and both.a.size == size), None)

    @property
    def enters_as_it_is(self) -> bool:
        """Whether what a side recorded of what enters the module is its nearest input, whoever's code lies between."""
        entered, fed = self.borrowed(f"{self.place}:input"), self.fed_by_as_many()
        if entered is None or fed is None or entered.size != fed.a.size:
            return False
        most = self.unit * float(np.linalg.norm(fed.a))
        ways = layouts(fed.a.shape, entered.shape)
        return any(float(np.linalg.norm(way.apply(entered) - fed.a)) <= most for way in ways)

    def both(self, site: SiteDiff) -> Both | None:
        """A site's numbers; None where they weren't kept, don't go together, or are too many."""
        return both(self.comparison, site)


def _by_name(sites: Iterable[str]) -> dict[str, str]:
    """Sites by their common names; a site that has such a name already keeps it."""
    names: dict[str, str] = {}
    for site in sites:
        name = common_name(site)
        if name == site or name not in names:
            names[name] = site
    return names


def explains(target: Numbers, model: Numbers, other: Numbers) -> bool:
    """Whether `model` makes out of `other` what `target` is: next to nothing of their difference is left."""
    apart = float(np.linalg.norm(target - other))
    return apart > 0 and float(np.linalg.norm(target - model)) <= EXPLAINED * apart


def makes(target: Numbers, model: Numbers, other: Numbers, limit: float) -> bool:
    """The same for a pattern that must hold to `limit` of the target's own norm, however large the difference is."""
    return explains(target, model, other) and float(np.linalg.norm(target - model)) <= limit * float(
        np.linalg.norm(target)
    )


def left_over(target: Numbers, model: Numbers, other: Numbers) -> float:
    """The part of a difference that a pattern leaves unexplained, by norm."""
    apart = float(np.linalg.norm(target - other))
    return float(np.linalg.norm(target - model)) / apart if apart else 0.0


def whole(config: Mapping[str, object], *names: str) -> int:
    """The first of the fields that holds a whole number; 0 if none does."""
    return next((found for name in names if isinstance(found := config.get(name), int) and found > 0), 0)


def real(config: Mapping[str, object], *names: str) -> float | None:
    """The first of the fields that holds a number."""
    found = (config.get(name) for name in names)
    return next(
        (float(value) for value in found if isinstance(value, int | float) and not isinstance(value, bool)), None
    )
