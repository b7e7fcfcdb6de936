"""Groups of experts of which a router keeps some: what each is ranked by, and which were kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.routing.sides import RouterSide
from tracetui.analysis.diff.routing.ways import group_count
from tracetui.recording.value import Array


def group_ranks(side: RouterSide, row: int, unit: float, config: Mapping[str, object]) -> tuple[Numbers, Array] | None:
    """What a side ranks a token's groups by [G], and which it kept [G]; None where that isn't known."""
    if side.scores is None or side.selection is None:
        return None
    masked = np.isneginf(side.selection[row])
    groups = group_count(config)
    if groups < 2 or len(masked) % groups:
        return None
    scores = side.scores[row] if side.bias is None else side.scores[row] + side.bias
    grouped, kept = np.sort(scores.reshape(groups, -1), axis=1), ~masked.reshape(groups, -1).all(axis=1)
    slack = unit * float(np.abs(scores).max())
    for best in (2, 1):
        ranks = grouped[:, -best:].sum(axis=1)  # [G]
        if kept.any() and ranks[kept].min() + slack >= ranks[~kept].max(initial=-np.inf):
            return ranks, kept
    return None
