"""Attention in float16, as llama.cpp computes it: its cache is of it, and flash attention adds up in it too."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.attention.heads import KernelInputs, start_of
from tracetui.analysis.diff.hints.attention.inputs import kernel_of
from tracetui.analysis.diff.hints.scene import EXPLAINED, Hint, Scene

_NEARER = 4.0
_MOST_KEYS = 256
"""One after another is added up."""


def half_precision(scene: Scene) -> Hint | None:
    """If q, k and v agree: whether one side's heads or scores are what float16 makes of them."""
    kernel = kernel_of(scene, (":heads", ":scores"))
    if kernel is None:
        return None
    inputs, sides = kernel
    index = np.ix_(inputs.picked, inputs.rows)
    for side, other in ("AB", "BA"):
        own, apart = sides[side][index], float(np.linalg.norm(sides[side][index] - sides[other][index]))
        (_, exact), *others = _made(scene, inputs, side)
        for words, made in others if apart and own.shape == exact.shape else ():
            left = float(np.linalg.norm(own - made)) / apart
            # Beside a large difference float16 is near whatever is right.
            if left <= EXPLAINED and left * _NEARER * apart < float(np.linalg.norm(own - exact)):
                return Hint(
                    "half-precision",
                    f"{side} computes attention in float16: {words}",
                    f"computed so from q, k and v, which agree, {side} comes out but for {left:.2g} of the difference. "
                    "llama.cpp does it unless flash attention is off and the cache's type is f32.",
                )
    return None


def _made(scene: Scene, inputs: KernelInputs, side: str) -> list[tuple[str, Numbers]]:
    """What exact arithmetic makes of the inputs, then float16 in each way, with what that is in words."""
    way = start_of(scene, inputs, side)
    count, groups = len(inputs.q), len(inputs.k)
    shared = [head * groups // count for head in inputs.picked]
    q, k, v = (
        _half(part) for part in (inputs.q[np.ix_(inputs.picked, inputs.rows)], inputs.k[shared], inputs.v[shared])
    )
    scores = q @ k.swapaxes(1, 2) * way.scale  # [h,t,S]
    if scene.leaf == ":scores":
        exact = inputs.q[np.ix_(inputs.picked, inputs.rows)] @ inputs.k[shared].swapaxes(1, 2) * way.scale
        return [("", exact), ("q and k are rounded to it", scores)]
    exact = inputs.heads(way)
    if way.softcap or way.alibi or way.sinks or inputs.k.shape[1] > _MOST_KEYS:
        return [("", exact)]
    seen = np.where(inputs.visible(way)[:, : scores.shape[-1]], scores, -np.inf)
    shifted = np.exp(seen - seen.max(axis=-1, keepdims=True))
    probs = _half(shifted / shifted.sum(axis=-1, keepdims=True))
    return [
        ("", exact),
        ("flash attention, which also adds up in it", _flash(seen, v)),
        ("q, k, v and the probabilities are rounded to it", probs @ v),
    ]


def _flash(scores: Numbers, v: Numbers) -> Numbers:
    """Heads [h,t,Kv] as llama.cpp's kernel for processors adds them up: key by key, the sum in float16.

    scores: [h,t,S], -inf where hidden; v: [h,S,Kv].
    """
    top = np.full(scores.shape[:2], -np.inf)
    total, heads = np.zeros(scores.shape[:2]), np.zeros((*scores.shape[:2], v.shape[-1]))
    for key in range(scores.shape[-1]):
        score = scores[..., key]  # [h,t]
        raised = np.maximum(top, score)
        known = np.isfinite(raised)
        scale = np.where(np.isfinite(top), np.exp(np.where(known, top - raised, 0)), 0)
        weight = np.where(np.isfinite(score), np.exp(np.where(known, score - raised, 0)), 0)
        heads = np.where((score > top)[..., None], _half(heads * scale[..., None]), heads)
        heads = _half(heads + v[:, None, key] * weight[..., None])
        total, top = total * scale + weight, raised
    return heads / np.where(total > 0, total, 1)[..., None]


def _half(array: Numbers) -> Numbers:
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float64)
