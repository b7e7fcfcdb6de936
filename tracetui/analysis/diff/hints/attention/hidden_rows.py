"""Queries that a mask lets see no key: some kernels return zeros there, others the mean of all values."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.alignment.masks import HIDDEN
from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.recording.value import Array

NAME = "hidden-rows"
_KINDS = {"zeros": "zeros", "mean": "the mean of all values"}


def hidden_rows(scene: Scene) -> Hint | None:
    """Heads that differ in such rows alone, and are there what two kinds of kernels make of them."""
    mask, v, y = scene.lent("mask"), scene.beside("v"), scene.target
    if scene.leaf != ":heads" or mask is None or v is None or y.a.ndim != 4 or mask.ndim != 4 or v.b.ndim != 4:
        return None
    rows = np.broadcast_to(~_seen(mask).any(axis=-1), y.a.shape[:3])  # [B,H,T]
    apart = np.linalg.norm(y.a - y.b, axis=-1)  # [B,H,T]
    size = np.maximum(np.linalg.norm(y.b, axis=-1), float(np.linalg.norm(y.b)) / max(1, rows.size) ** 0.5)
    if not rows.any() or (apart > scene.limit * size)[~rows].any():
        return None
    times = y.a.shape[1] // v.b.shape[1]
    mean = np.repeat(v.b.mean(axis=2), times, axis=1)[:, :, None]  # [B,H,1,K]
    kinds = [_kind(side[rows], np.broadcast_to(mean, y.a.shape)[rows], scene.limit) for side in (y.a, y.b)]
    if not all(kinds) or kinds[0] == kinds[1]:
        return None
    a, b = (_KINDS[kind] for kind in kinds)
    return Hint(
        NAME,
        f"Queries that see no key: A's kernel returns {a}, B's {b}",
        f"so it is in all {int(rows.sum())} rows of heads whose mask hides every key, and all other rows agree.",
    )


def _seen(mask: Numbers) -> Array:
    """Which keys a mask lets be seen, a boolean one or one that is added."""
    seen: Array = mask == 1 if np.isin(mask, (0, 1)).all() else mask > HIDDEN
    return seen


def _kind(rows: Numbers, mean: Numbers, limit: float) -> str:
    size = float(np.linalg.norm(mean))
    if float(np.linalg.norm(rows)) <= limit * size:
        return "zeros"
    return "mean" if float(np.linalg.norm(rows - mean)) <= limit * size else ""
