"""Tokens that may have chosen other experts, where one side's choice wasn't recorded: an output alone can't tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Numbers, both
from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.routing.flips import has_order_of
from tracetui.analysis.diff.routing.groups import group_ranks
from tracetui.analysis.diff.routing.routed import chooses
from tracetui.analysis.diff.routing.sides import RouterSide, RouterSides, router_sides
from tracetui.recording.value import Array


@dataclass(frozen=True, slots=True)
class UnseenChoice:
    """A choice that rounding may have flipped in every token that differs."""

    choice: str
    side: str
    """Who alone recorded it, A or B."""
    tokens: tuple[int, ...]
    """The rows that differ."""


def unseen_choice(comparison: Comparison, site: SiteDiff, fed: Feeds) -> UnseenChoice | None:
    """The choice between a tensor and its inputs, which agree, if all rows that differ are near to another choice."""
    if not fed.agree or site.distance is None or site.distance.unlike or site.tolerance is None:
        return None
    choice = next((name for name in fed.between if chooses(name)), "")
    router = router_sides(comparison, choice) if choice else None
    output = both(comparison, site)
    if router is None or output is None or output.a.ndim < 2:
        return None
    alone = comparison.alignment.alone[choice]
    own, rows = router.a if alone == "A" else router.b, output.rows()
    if own.experts is None or len(own.experts) != len(rows.a):
        return None
    differing = _differing(rows.a, rows.b, site)
    near = _near_ties(router, own, max(router.unit, site.tolerance.rtol))
    return UnseenChoice(choice, alone, tuple(differing.tolist())) if near[differing].all() else None


def _differing(a: Numbers, b: Numbers, site: SiteDiff) -> Array:
    """The rows that are further apart than the tolerance lets a row be, at least the worst."""
    apart, norms = (np.linalg.norm(rows, axis=1) for rows in (a - b, b))  # [N]
    assert site.tolerance is not None
    off = apart > site.tolerance.of_row(*b.shape) * np.maximum(norms, np.median(norms))
    off[int(apart.argmax())] = True
    found: Array = np.flatnonzero(off)
    return found


def _near_ties(router: RouterSides, own: RouterSide, unit: float) -> Array:
    """Which tokens' experts outrank one that they didn't take by no more than rounding [N]."""
    assert own.experts is not None
    scores = own.selection
    if scores is None and own.raw is not None and has_order_of(own.raw, own.experts, unit):
        scores = own.raw
    if scores is None or len(scores) != len(own.experts):
        return np.zeros(len(own.experts), np.bool_)
    taken = np.zeros(scores.shape, np.bool_)
    np.put_along_axis(taken, own.experts.astype(np.int64), True, axis=1)
    margins = np.where(taken, scores, np.inf).min(axis=1) - np.where(taken, -np.inf, scores).max(axis=1)  # [N]
    limits = np.array([_limit(own, scores, row, unit) for row in range(len(scores))])
    near: Array = margins <= limits
    for row in np.flatnonzero(np.isneginf(scores).any(axis=1) & ~near).tolist():
        near[row] = _groups_near(router, own, row, unit)
    return near


def _limit(own: RouterSide, scores: Numbers, row: int, unit: float) -> float:
    """By how much rounding of the logits moves the margin of what is made of them."""
    size = float(np.abs(scores[row][np.isfinite(scores[row])]).max(initial=0))
    # A softmax or a sigmoid moves by no more than its value times what its logit moves by.
    logits = 0.0 if own.logits is None else float(np.abs(own.logits[row]).max(initial=0))
    return 2 * unit * size * max(1.0, logits)


def _groups_near(router: RouterSides, own: RouterSide, row: int, unit: float) -> bool:
    known = group_ranks(own, row, unit, router.config)
    if known is None:
        return False
    ranks, kept = known
    margin = ranks[kept].min() - ranks[~kept].max(initial=-np.inf)
    return bool(margin <= 4 * unit * float(np.abs(ranks).max()))
