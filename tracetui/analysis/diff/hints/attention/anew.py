"""Heads that each side's own queries, keys and values make: a sharp softmax makes much of their rounding."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.attention.heads import TOKENS, KernelInputs, Way, start_of
from tracetui.analysis.diff.hints.scene import Scene

_ROLE = ":heads"


def follow_from_inputs(scene: Scene) -> bool:
    """Whether both sides' heads are what one and the same kernel makes of that side's q, k and v."""
    if scene.leaf != _ROLE or not scene.sound or scene.target.a.ndim != 4:
        return False
    a, b = (_way(scene, side, heads) for side, heads in (("A", scene.target.a), ("B", scene.target.b)))
    return a is not None and a == b


def _way(scene: Scene, side: str, heads: Numbers) -> Way | None:
    """How a side's heads [1,H,T,Kv] are made of its q, k and v; None where they are not."""
    block = scene.place.removesuffix(_ROLE)
    q, k, v = (scene.own_of(f"{block}:{role}", side) for role in "qkv")
    if q is None or k is None or v is None or any(each.ndim != 4 for each in (q, k, v)):
        return None
    if len(heads) != 1 or heads.shape[:3] != q.shape[:3] or heads.shape[2] > TOKENS:
        return None
    inputs = KernelInputs.of(scene, q, k, v)
    inputs = inputs.of_rows(range(heads.shape[1]), range(heads.shape[2]))
    way = start_of(scene, inputs, side)
    own = heads[0]  # [H,T,Kv]
    norms = np.linalg.norm(own, axis=-1)  # [H,T]
    apart = np.linalg.norm(inputs.heads(way) - own, axis=-1)  # [H,T]
    return way if (apart <= 2 * scene.unit * np.maximum(norms, np.median(norms))).all() else None
