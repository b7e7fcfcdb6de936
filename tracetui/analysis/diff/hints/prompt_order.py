"""A batch whose prompts stand in another order on the other side."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.hints.scene import Hint, Scene

_AXES = 3
_MOST = 64
"""Prompts, each of which is held against each."""


def prompt_order(scene: Scene) -> Hint | None:
    """Each prompt's rows equal another prompt's on the other side, where no input of theirs tells."""
    a, b = scene.target.a, scene.target.b
    if scene.fed.found or a.ndim != _AXES or a.shape != b.shape or not 1 < len(a) <= _MOST:
        return None
    distances = [[float(np.abs(row - other).max()) for other in b] for row in a]  # [B,B]
    order = np.argmin(distances, axis=1)  # [B]
    limit = scene.unit * float(np.abs(b).max())
    if len(set(order.tolist())) < len(a) or max(distances[row][at] for row, at in enumerate(order)) > limit:
        return None
    moved = [f"A's {row} is B's {at}" for row, at in enumerate(order.tolist()) if row != at]
    if not moved:
        return None
    title = "The prompts of the batch stand in another order"
    return Hint("prompt-order", title, f"{', '.join(moved[:4])}; each agrees at all {a.shape[1]} tokens.")
