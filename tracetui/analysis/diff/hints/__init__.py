"""Faults that are known by the pattern they leave: each is named only with the numbers that speak for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.hints.attention import attention_call, head_order, mask_shift
from tracetui.analysis.diff.hints.linear import bias, permuted, tied_embeddings, transposed
from tracetui.analysis.diff.hints.norm import norm
from tracetui.analysis.diff.hints.rope import position_offset, rope_layout
from tracetui.analysis.diff.hints.rope_base import rope_frequencies
from tracetui.analysis.diff.hints.routing import expert_weights
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.analysis.diff.hints.scores import scores_alone
from tracetui.analysis.diff.hints.swapped import swapped
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff

PATTERNS: tuple[Callable[[Scene], Hint | None], ...] = (
    rope_layout,
    rope_frequencies,
    position_offset,
    head_order,
    mask_shift,
    attention_call,
    scores_alone,
    norm,
    expert_weights,
    tied_embeddings,
    transposed,
    swapped,
    permuted,
    bias,
)


def hints(comparison: Comparison, first: SiteDiff, fed: Feeds) -> tuple[Hint, ...]:
    """What the first divergence looks like; nothing where its inputs differ already, or the prompts do."""
    if comparison.preface.tokens or any(input_.outcome is not Outcome.SAME for input_ in fed.found):
        return ()
    scene = Scene(comparison, first, fed)
    with np.errstate(all="ignore"):
        found = [pattern(scene) for pattern in PATTERNS] if scene.sound else []
    return tuple(hint for hint in found if hint is not None)
