"""What a comparison of two traces found."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from tracetui.analysis.diff.alignment.align import Alignment, Pair
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.diff.distances.distance import Distance
from tracetui.analysis.diff.origins import Origins
from tracetui.analysis.diff.preface import Preface
from tracetui.analysis.diff.rounding.tolerance import Tolerance
from tracetui.analysis.diff.weights import Owner, WeightDifferences, weight_differences
from tracetui.analysis.mapping.layouts import SAME, Layout
from tracetui.recording.record import plain_site
from tracetui.recording.trace import Trace


class Outcome(Enum):
    SAME = "same"
    DIFFERENT = "different"
    SHAPES = "shapes differ"
    SKIPPED = "not compared"


@dataclass(frozen=True, slots=True)
class SiteDiff:
    """One tensor, compared."""

    pair: Pair
    outcome: Outcome
    tolerance: Tolerance | None = None
    distance: Distance | None = None
    """None where the shapes don't go together, or what came before is not the same."""
    layout: Layout = SAME
    """What is done to B's values, a rule's own layout aside, to stand as A's do."""
    jump: str = ""
    """Why it differs though it is within its dtype's tolerance; empty where it isn't, or doesn't."""

    why: str = ""
    """Why it was not compared; empty where it was."""
    explained: bool = False
    """Whether it is beyond the tolerance, by no more than rounding of what feeds it makes."""

    @property
    def laid_out(self) -> str:
        """All that is done to either side's values, in words."""
        return ", ".join(filter(None, (self.pair.a.layout.name, self.pair.b.layout.name, self.layout.name)))

    @property
    def site(self) -> str:
        return self.pair.site


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two traces, compared; the sites in order of execution."""

    a: Trace
    b: Trace
    preface: Preface
    alignment: Alignment
    sites: tuple[SiteDiff, ...]

    @cached_property
    def origins(self) -> Origins:
        """What each site was made of, as far as a run told."""
        return Origins(self.a, self.b, self.alignment)

    @cached_property
    def weights(self) -> WeightDifferences:
        """Which weights the two runs were made with that aren't the same."""
        if not (self.a.weights and self.b.weights):
            return WeightDifferences(0, ())
        agreeing = {plain_site(site.site) for site in self.sites if site.outcome is Outcome.SAME}
        return weight_differences(self.a, self.b, self._owners, agreeing)

    @property
    def _owners(self) -> list[Owner]:
        """The modules of which both sides recorded an output."""
        pairs = (pair for pair in self.alignment.pairs if not (pair.a.record.role or pair.b.record.role))
        return [Owner(pair.a.record.module, pair.b.record.module, plain_site(pair.site)) for pair in pairs]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each site stands, by name."""
        return {site.site: place for place, site in enumerate(self.sites)}

    @cached_property
    def _by_name(self) -> list[tuple[str, int]]:
        """Each site without part, pass and call, and its place, sorted: what is inside a module stands together."""
        return sorted((plain_site(name), place) for name, place in self.places.items())

    def last_inside(self, site: SiteDiff) -> SiteDiff | None:
        """What was compared last of all that lies inside a module, before its own output; None if nothing was."""
        own = self.places[site.site]
        inside = (place for mark in ".:" for place in self._beginning(f"{site.site}{mark}") if place < own)
        last = max(inside, default=None)
        return None if last is None else self.sites[last]

    def _beginning(self, start: str) -> Iterator[int]:
        """The places of the sites whose names begin with this."""
        for at in range(bisect_left(self._by_name, (start,)), len(self._by_name)):
            name, place = self._by_name[at]
            if not name.startswith(start):
                return
            yield place

    @property
    def compared(self) -> int:
        """Sites of which there were numbers on both sides."""
        return sum(site.distance is not None for site in self.sites)

    @property
    def different(self) -> tuple[SiteDiff, ...]:
        """Those whose numbers differ."""
        return tuple(site for site in self.sites if site.outcome is Outcome.DIFFERENT)

    @property
    def skipped(self) -> Mapping[str, Sequence[SiteDiff]]:
        """What both sides have and was not compared, by the reason."""
        reasons: dict[str, list[SiteDiff]] = {}
        for site in self.sites:
            if site.outcome is Outcome.SKIPPED:
                reasons.setdefault(site.why, []).append(site)
        return reasons

    @property
    def explained(self) -> int:
        """Sites beyond the tolerance that are the same all the same: rounding of what feeds them explains them."""
        return sum(site.explained for site in self.sites)

    @property
    def first(self) -> SiteDiff | None:
        """The first divergence."""
        return next((site for site in self.sites if site.outcome is Outcome.DIFFERENT), None)

    @property
    def misfits(self) -> tuple[SiteDiff, ...]:
        return tuple(site for site in self.sites if site.outcome is Outcome.SHAPES)

    @property
    def same(self) -> bool:
        """Whether something was compared, and nothing that both sides have differs."""
        return self.compared > 0 and not self.different and not self.misfits and not self.preface.tokens

    def of(self, named: Named) -> SiteDiff | None:
        """What was found of A's record."""
        return next((site for site in self.sites if site.pair.a.record is named.record), None)
