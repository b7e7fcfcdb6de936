"""Tokens that chose other experts: a tie that rounding flipped, scores that differ, or a fault of the choice itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from tracetui.analysis.diff.align import plain_site
from tracetui.analysis.diff.arrays import Both, Numbers, both
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.routing import places, real_tokens

_CRITERIA = (":selection_scores", ":router_scores", ":router_logits")


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
    """By how much A's scores put A's experts above B's; None without scores."""
    margin_b: float | None
    """The same for B's."""
    apart: float | None
    """The largest difference between the two sides' scores of these experts."""
    cause: Cause


def flips(comparison: Comparison) -> tuple[Flip, ...]:
    """In order of execution, padding left out. Empty where no choices were recorded on both sides."""
    found: list[Flip] = []
    for site in comparison.sites:
        if plain_site(site.site).endswith(":experts") and site.outcome is Outcome.DIFFERENT:
            found += _flips(comparison, site)
    return tuple(found)


def _flips(comparison: Comparison, site: SiteDiff) -> Iterator[Flip]:
    chosen = both(comparison, site)
    if chosen is None or chosen.a.ndim < 2 or not np.isfinite(chosen.a + chosen.b).all():
        return
    chosen = chosen.rows()
    scores, score_site = _scores(comparison, site, len(chosen.a))
    places = _places(comparison, site, len(chosen.a))
    for row in np.flatnonzero((chosen.a != chosen.b).any(axis=1)):
        place = places[row]
        if place is not None:
            yield _flip(site, place, chosen, scores, score_site, int(row))


def _scores(comparison: Comparison, site: SiteDiff, rows: int) -> tuple[Both | None, SiteDiff | None]:
    """What the choice was made from [N,E], the nearest to it that both sides have."""
    block, _, call = site.site.partition(":experts")
    by_site = {found.site: found for found in comparison.sites}
    for role in _CRITERIA:
        found = by_site.get(f"{block}{role}{call}")
        scores = None if found is None else both(comparison, found)
        if scores is not None and scores.rows().a.shape[0] == rows:
            return scores.rows(), found
    return None, None


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


def _flip(
    site: SiteDiff, place: tuple[int, int], chosen: Both, scores: Both | None, score_site: SiteDiff | None, row: int
) -> Flip:
    a, b = ({int(expert) for expert in side[row]} for side in (chosen.a, chosen.b))
    only_a, only_b = tuple(sorted(a - b)), tuple(sorted(b - a))
    known = scores is not None and all(0 <= expert < scores.a.shape[1] for expert in (*only_a, *only_b))
    margin_a = margin_b = apart = None
    cause = Cause.UNKNOWN
    if known and scores is not None and score_site is not None:
        margin_a = _margin(scores.a[row], only_a, only_b)
        margin_b = _margin(scores.b[row], only_b, only_a)
        swapped = [*only_a, *only_b]
        apart = _apart(scores.a[row, swapped], scores.b[row, swapped])
        cause = _cause(margin_a, apart, _limit(score_site, scores.b[row, swapped]), score_site.outcome)
    return Flip(site.site, site.pair.record.layer, *place, only_a, only_b, margin_a, margin_b, apart, cause)


def _margin(scores: Numbers, own: tuple[int, ...], others: tuple[int, ...]) -> float:
    return float(scores[list(own)].min(initial=np.inf) - scores[list(others)].max(initial=-np.inf))


def _apart(a: Numbers, b: Numbers) -> float:
    """Two -inf, of groups that are masked on both sides, are the same."""
    return float(np.where(a == b, 0, np.abs(a - b)).max(initial=0))


def _limit(site: SiteDiff, scores: Numbers) -> float:
    tolerance = site.tolerance
    size = float(np.abs(scores[np.isfinite(scores)]).max(initial=0))
    return 0.0 if tolerance is None else tolerance.atol + tolerance.rtol * size


def _cause(margin: float, apart: float, limit: float, scores: Outcome) -> Cause:
    if not apart <= limit and scores is not Outcome.SAME:
        return Cause.SCORES
    return Cause.TIE if margin <= 2 * max(limit, apart) else Cause.CHOICE
