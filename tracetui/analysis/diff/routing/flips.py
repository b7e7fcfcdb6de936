"""Tokens that chose other experts: a tie that rounding flipped, scores that differ, or a fault of the choice itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.routing.groups import group_ranks
from tracetui.analysis.diff.routing.sides import RouterSide, RouterSides, router_sides
from tracetui.analysis.diff.routing.ways import explained
from tracetui.analysis.experts.routing import places, real_tokens
from tracetui.recording.record import plain_site


class Cause(Enum):
    TIE = "a tie that rounding flipped"
    SCORES = "the scores differ"
    CHOICE = "the scores agree: the choice is at fault"
    UNKNOWN = "no scores were recorded"


@dataclass(frozen=True, slots=True)
class Flip:
    """One token whose experts are not the same."""

    site: str
    layer: int | None
    prompt: int
    position: int
    only_a: tuple[int, ...]
    """Experts that only A chose."""
    only_b: tuple[int, ...]
    margin_a: float | None
    """By how much what A chose from puts A's experts above B's; None without it, or where a side's can't be chosen."""
    margin_b: float | None
    """The same for B's."""
    apart: float | None
    """The largest difference between the two sides' scores of these experts, before bias and groups."""
    cause: Cause
    decided: str = ""
    """What besides the scores spoke for these experts, in words; empty where nothing is known of it."""


def flips(comparison: Comparison) -> tuple[Flip, ...]:
    """In order of execution, padding left out. Empty where no choices were recorded on both sides."""
    found: list[Flip] = []
    for site in comparison.sites:
        if plain_site(site.site).endswith(":experts") and site.outcome is Outcome.DIFFERENT:
            found += _flips(comparison, site)
    return tuple(found)


def _flips(comparison: Comparison, site: SiteDiff) -> Iterator[Flip]:
    router = router_sides(comparison, site.site)
    if router is None or router.a.experts is None or router.b.experts is None:
        return
    a, b = router.a.experts.astype(np.int64), router.b.experts.astype(np.int64)
    if a.shape != b.shape:
        return
    at = _places(comparison, site, len(a))
    for row in np.flatnonzero((np.sort(a) != np.sort(b)).any(axis=1)).tolist():
        place = at[row]
        if place is not None:
            own = _swapped(a[row], b[row])
            yield _Flipped(router, row, *own).flip(site, place)


def has_order_of(scores: Numbers, experts: Numbers, unit: float) -> bool:
    """Whether scores [N,E] put the chosen experts [N,A] before all others, in every token."""
    return bool(explained(scores, experts, unit).all())


def _swapped(a: Numbers, b: Numbers) -> tuple[list[int], list[int]]:
    """The experts that one side alone chose, A's and B's."""
    return sorted(set(a.tolist()) - set(b.tolist())), sorted(set(b.tolist()) - set(a.tolist()))


def _places(comparison: Comparison, site: SiteDiff, rows: int) -> list[tuple[int, int] | None]:
    """Prompt and position of each of N flat tokens; None for padding, and from where the prompts differ."""
    trace, named = (comparison.a, site.pair.a) if comparison.a.tokens else (comparison.b, site.pair.b)
    record = replace(named.record, shape=(rows,))
    prompts, positions = places(trace, record)
    real = real_tokens(trace, record)
    if comparison.preface.common is not None:
        real &= positions < comparison.preface.common
    return [
        (int(prompt), int(position)) if kept else None
        for prompt, position, kept in zip(prompts, positions, real, strict=True)
    ]


@dataclass(frozen=True, eq=False, slots=True)
class _Flipped:
    """One row of a router's choices that is not the same on both sides."""

    router: RouterSides
    row: int
    only_a: list[int]
    only_b: list[int]

    def flip(self, site: SiteDiff, place: tuple[int, int]) -> Flip:
        margin_a = _margin(self._deciding(self.router.a), self.only_a, self.only_b)
        margin_b = _margin(self._deciding(self.router.b), self.only_b, self.only_a)
        apart = self._apart()
        cause = self._cause(margin_a, margin_b, apart)
        decided = self._decided() if cause is Cause.CHOICE else ""
        layer = site.pair.record.layer
        return Flip(
            site.site, layer, *place, tuple(self.only_a), tuple(self.only_b), margin_a, margin_b, apart, cause, decided
        )

    def _deciding(self, side: RouterSide) -> Numbers | None:
        """What a side chose from [E]: recorded of it, or of the other where the scores agree; else its scores."""
        other = self.router.b if side is self.router.a else self.router.a
        known = side.selection
        if known is None and self._agree:
            known = other.selection
        if known is None and any(self._orders(each) for each in ((side, other) if self._agree else (side,))):
            known = side.raw
        return None if known is None or self.row >= len(known) else known[self.row]

    def _orders(self, side: RouterSide) -> bool:
        """Whether a side's scores alone put its experts before all others, in every token."""
        if side.raw is None or side.experts is None:
            return False
        return has_order_of(side.raw, side.experts, self.router.unit)

    @property
    def _agree(self) -> bool:
        """Whether the scores of the experts in question are the same but for rounding."""
        apart, pair = self._apart(), self.router.raw or self._selections()
        if apart is None or pair is None:
            return False
        a, b = (np.isfinite(side[self.row, [*self.only_a, *self.only_b]]) for side in pair)
        return bool((a == b).all()) and (self.router.raw_agrees or apart <= self._limit())

    def _apart(self) -> float | None:
        pair = self.router.raw or self._selections()
        if pair is None:
            return None
        a, b = (side[self.row, [*self.only_a, *self.only_b]] for side in pair)
        known = np.isfinite(a) & np.isfinite(b)
        return float(np.abs(a - b)[known].max(initial=0))

    def _selections(self) -> tuple[Numbers, Numbers] | None:
        a, b = self.router.a.selection, self.router.b.selection
        return None if a is None or b is None or a.shape != b.shape else (a, b)

    def _limit(self) -> float:
        """By how much rounding moves a score."""
        pair = self.router.raw or self._selections()
        if pair is None:
            return 0.0
        row = np.concatenate([side[self.row] for side in pair])
        return self.router.unit * float(np.abs(row[np.isfinite(row)]).max(initial=0))

    def _moved(self) -> float:
        """By how much a score has moved: by its own rounding, or by more where its token brought more along."""
        return max(self._limit(), self._apart() or 0.0)

    def _cause(self, margin_a: float | None, margin_b: float | None, apart: float | None) -> Cause:
        if apart is None:
            return Cause.UNKNOWN
        if not self._agree or (self.router.raw is None and None in (margin_a, margin_b)):
            return Cause.SCORES
        if self._decide_otherwise():
            return Cause.CHOICE
        if margin_a is None or margin_b is None:
            return Cause.TIE if self._groups_tied() else Cause.CHOICE
        # What is made of scores that are this far apart can't be closer; a recomputed score is off by less.
        limit = 2 * self._moved()
        within = -self._limit() / 4 <= min(margin_a, margin_b) and max(margin_a, margin_b) <= limit
        return Cause.TIE if within else Cause.CHOICE

    def _decide_otherwise(self) -> bool:
        """Whether what the two sides chose from differs by more than their scores do."""
        pair = self._selections()
        if pair is None or self.router.raw is None:
            return False
        a, b = (side[self.row, [*self.only_a, *self.only_b]] for side in pair)
        known = np.isfinite(a) & np.isfinite(b)
        near = np.allclose(a[known], b[known], rtol=4 * self.router.unit, atol=4 * self._moved())
        return not near or self._biases_differ([*self.only_a, *self.only_b])

    def _biases_differ(self, experts: list[int]) -> bool:
        biases = [side.bias for side in (self.router.a, self.router.b)]
        if biases[0] is None and biases[1] is None:
            return False
        # A bias of zeros is none.
        a, b = (np.zeros(len(experts)) if bias is None else bias[experts] for bias in biases)
        size = max(float(np.abs(bias).max()) for bias in biases if bias is not None)
        return not np.allclose(a, b, rtol=4 * self.router.unit, atol=2 * self.router.unit * size)

    def _groups_tied(self) -> bool:
        """Whether each side's groups outrank the groups that only the other side took by no more than rounding."""
        known = [
            group_ranks(side, self.row, self.router.unit, self.router.config) for side in (self.router.a, self.router.b)
        ]
        if known[0] is None or known[1] is None:
            return False
        (ranks_a, kept_a), (ranks_b, kept_b) = known[0], known[1]
        only_a, only_b = kept_a & ~kept_b, kept_b & ~kept_a
        if not only_a.any() or not only_b.any():
            return False
        margins = (ranks_a[only_a].min() - ranks_a[only_b].max(), ranks_b[only_b].min() - ranks_b[only_a].max())
        own = 2 * self.router.unit * float(np.abs([ranks_a, ranks_b]).max())
        # A group's rank is the sum of its two best.
        limit = max(own, 2 * self._moved()) if self._moved() > self._limit() else own
        return bool(-limit / 8 <= min(margins) and max(margins) <= limit)

    def _decided(self) -> str:
        told = [*self._bias_words(), *self._masked_words()]
        return "; ".join(told) or self._rank_words()

    def _bias_words(self) -> Iterator[str]:
        experts = [*self.only_a, *self.only_b]
        biases = [None if side.bias is None else side.bias[experts] for side in (self.router.a, self.router.b)]
        if all(bias is None for bias in biases):
            return
        if not self._biases_differ(experts):
            return
        told = [
            f"{'none' if bias is None else ', '.join(f'{value:+.3g}' for value in bias)} in {side}"
            for side, bias in zip("AB", biases, strict=True)
        ]
        yield f"selection bias of {', '.join(map(str, experts))}: {'; '.join(told)}"

    def _masked_words(self) -> Iterator[str]:
        for side, own in (("A", self.router.a), ("B", self.router.b)):
            if own.selection is None:
                continue
            masked = [each for each in (*self.only_a, *self.only_b) if np.isneginf(own.selection[self.row, each])]
            if masked:
                groups = "its group is" if len(masked) == 1 else "their groups are"
                yield f"{side} can't choose {', '.join(map(str, masked))}: {groups} masked"

    def _rank_words(self) -> str:
        """Where the experts of each side stand, by what their own side chose from."""
        told = []
        for name, side, own in (("A", self.router.a, self.only_a), ("B", self.router.b, self.only_b)):
            scores = self._deciding(side)
            if scores is not None:
                ranks = [1 + int((scores > scores[expert]).sum()) for expert in own]
                told.append(f"{name}'s {_numbers(own)} by rank {_numbers(ranks)}")
        return f"{', '.join(told)} of {len(scores)}" if told and scores is not None else ""


def _numbers(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _margin(scores: Numbers | None, own: list[int], others: list[int]) -> float | None:
    """None where a masked expert stands on either side: there is no number for it."""
    if scores is None:
        return None
    margin = scores[own].min(initial=np.inf) - scores[others].max(initial=-np.inf)
    return float(margin) if np.isfinite(margin) else None
