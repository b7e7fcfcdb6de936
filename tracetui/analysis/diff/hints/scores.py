"""An attention of which only inputs of the heads and what is made of them are recorded on both sides."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.hints.scene import Hint, Scene

_PLACES = (".self_attn.o_proj", ".self_attn")
_FEWEST = 3
"""Tokens without which the first says nothing about the others."""
_OFTEN = 0.9
"""The share of the other tokens that are to be off."""


def scores_alone(scene: Scene) -> Hint | None:
    """The first token agrees, which sees itself alone whatever its score is; the others don't."""
    y = scene.target
    if not scene.fed.gap or scene.place not in _PLACES or y.a.ndim != 3 or y.a.shape[1] < _FEWEST:
        return None
    if scene.record.pass_:
        return None
    apart = np.linalg.norm(y.a - y.b, axis=-1) / np.maximum(np.linalg.norm(y.b, axis=-1), 1e-30)  # [B,T]
    off = apart > 4 * scene.unit
    if off[:, 0].any() or off[:, 1:].mean() < _OFTEN:
        return None
    return Hint(
        "scores",
        "The scores differ and nothing else: RoPE (its layout, base or scaling) or the softmax scale",
        f"the first token, which sees itself alone whatever its score, agrees to {apart[:, 0].max():.1e}: so do "
        f"values, the sharing of heads and the output projection; {int(off[:, 1:].sum())} of {off[:, 1:].size} "
        "others are off. Record :heads, or :q and :k, and it can be told which.",
    )
