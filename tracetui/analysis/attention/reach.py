"""How far the numbers of all heads of one attention call go: the ends of the scale that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.attention.heads import UnexplainedError, explained
from tracetui.analysis.attention.scores import AttentionView

_QUICK = 1 << 28
"""Multiplications of a call's q·k that nobody notices."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Of all heads together; 0 where there is no finite number."""

    score: float
    """The largest size of a scaled score before the mask."""
    share: float
    """The largest probability."""


def is_quick(view: AttentionView) -> bool:
    """Whether all heads can be gone through while somebody waits."""
    return view.query.numel // view.batch * view.key.shape[2] <= _QUICK


def reach_of(view: AttentionView, batch: int = 0, is_cancelled: Callable[[], bool] = lambda: False) -> Reach | None:
    """The reach of the heads of one prompt whose scores are the model's; None once it is cancelled."""
    score = share = 0.0
    for head in range(view.heads):
        if is_cancelled():
            return None
        try:
            _, probabilities = explained(view, head, batch)
        except UnexplainedError:
            continue
        score, share = max(score, largest(view.scores(head, batch))), max(share, largest(probabilities))
    return Reach(score, share)


def largest(numbers: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    """The largest size of the finite numbers; 0 if there is none."""
    low, high = float(numbers.min()), float(numbers.max())
    if np.isfinite(low) and np.isfinite(high):
        return max(abs(low), abs(high))
    return float(np.abs(numbers, where=np.isfinite(numbers), out=np.zeros_like(numbers)).max())
