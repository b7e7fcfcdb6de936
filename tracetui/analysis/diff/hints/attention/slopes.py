"""Biases that grow with the distance (ALiBi), of which some heads have other slopes."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.numbers import shown
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.text import spans

_STRAIGHT = 1e-3
"""How far from a straight line, relative, a bias may be that grows with the distance."""
_FEWEST = 3
"""Keys that show a line."""
_SHOWN = 4


def other_slopes(scene: Scene) -> Hint | None:
    """Both sides add a bias that is a straight line over the keys, and it is steeper in some heads of one."""
    a, b = scene.target.a, scene.target.b
    if scene.record.role != "position_bias" or a.ndim != 4 or a.shape[-1] < _FEWEST:
        return None
    slopes_a, slopes_b = _slopes(a), _slopes(b)
    if slopes_a is None or slopes_b is None:
        return None
    off = np.abs(slopes_a - slopes_b) > _STRAIGHT * np.maximum(np.abs(slopes_b), np.abs(slopes_a))  # [H]
    heads = [int(head) for head in np.flatnonzero(off)]
    if not heads:
        return None
    pairs = [f"{shown(float(slopes_a[head]))} in A, {shown(float(slopes_b[head]))} in B" for head in heads[:_SHOWN]]
    more = f", and {len(heads) - _SHOWN} more" if len(heads) > _SHOWN else ""
    return Hint(
        "position-bias",
        f"The bias that grows with the distance (ALiBi) has other slopes in {len(heads)} of {len(slopes_b)} heads",
        f"a straight line over the keys in each; of head {spans(heads)}: {'; '.join(pairs)}{more}.",
    )


def _slopes(bias: Numbers) -> Numbers | None:
    """The slope of each head's bias [B,H,T,S] over the keys; None where one is no straight line, or queries differ."""
    lines = bias.transpose(1, 0, 2, 3).reshape(bias.shape[1], -1, bias.shape[-1])  # [H,B·T,S]
    keys = np.arange(lines.shape[-1]) - (lines.shape[-1] - 1)  # [S]
    slopes: Numbers = (lines[:, -1, -1] - lines[:, -1, 0]) / (lines.shape[-1] - 1)  # [H]
    expected = slopes[:, None, None] * keys  # [H,1,S]
    apart = np.abs(lines - lines.max(-1, keepdims=True) - (expected - expected.max(-1, keepdims=True)))
    return slopes if bool(apart.max() <= _STRAIGHT * np.abs(expected).max()) else None
