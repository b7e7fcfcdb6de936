"""A tensor that is the other side's times one number."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.numbers import explained, shown
from tracetui.analysis.diff.hints.scene import Hint, Scene, explains, left_over, makes, real

_PARTS = (("logits", "logit"), ("lm_head", "logit"), ("embed_tokens", "embed"), ("self_attn", "att"))
"""By what a place's name holds, the part of the model that it is."""
_FEWEST = 3
"""Elements without which a factor proves nothing."""


def factor_of(a: Numbers, b: Numbers) -> float:
    """The number by which `b` is nearest to `a`."""
    whole = float(np.square(b).sum())
    return float((a * b).sum()) / whole if whole else 0.0


def factor(scene: Scene) -> Hint | None:
    """One factor for all elements, with what explains it."""
    a, b = scene.target.a, scene.target.b
    if a.size < _FEWEST or not np.square(b).sum():
        return None
    if not a.any():
        return Hint("factor", "A is 0 everywhere, where B is not", f"all of its {a.size:,} elements are.")
    times = factor_of(a, b)
    if not makes(a, times * b, b, scene.limit):
        return None
    evidence = f"one factor for all {a.size:,} elements, to {left_over(a, times * b, b):.1e} of their difference."
    return Hint("factor", f"A = {shown(times)}·B everywhere{_why(times, scene)}", evidence)


def _why(times: float, scene: Scene) -> str:
    """What explains the factor, or one over it."""
    part = next((part for word, part in _PARTS if word in scene.place), "")
    return explained(times, scene.config, part) or (times > 0 and _back(1 / times, scene, part)) or ""


def _back(times: float, scene: Scene, part: str) -> str:
    reason = explained(times, scene.config, part)
    return f": B = {shown(times)}·A{reason}" if reason else ""


def stream_scale(scene: Scene) -> Hint | None:
    """A first norm that sees the embedding times a number on one side only: no more than its epsilon tells."""
    embedding = scene.near("model.embed_tokens")
    recorded = None if embedding is None else scene.both(embedding)
    stream = scene.borrowed(":input") if scene.place == ".input_layernorm" and scene.record.layer == 0 else None
    if stream is None or recorded is None or not recorded.a.shape == stream.shape == scene.target.a.shape:
        return None
    times = factor_of(stream, recorded.a)
    if abs(times - 1) < scene.limit or not makes(stream, times * recorded.a, recorded.a, scene.limit):
        return None
    if not _by_epsilon(scene, recorded.a, times):
        return None
    other = scene.alone(":input") or "B"
    side = "A" if other == "B" else "B"
    reason = explained(times, scene.config, "embed")
    return Hint(
        "factor",
        f"{other} multiplies the embedding by {shown(times)}{reason} before the first layer; {side} may not",
        f"{other}'s :input is {shown(times)}·model.embed_tokens, which agrees; a norm takes all of it back but for its "
        "epsilon, which is what differs here.",
    )


def _by_epsilon(scene: Scene, embedding: Numbers, times: float) -> bool:
    """Whether the norms differ as a norm's epsilon makes it: it weighs less beside a larger input."""
    epsilon = real(scene.config, "rms_norm_eps", "layer_norm_eps", "norm_eps") or 0.0
    size = np.square(embedding).mean(axis=-1, keepdims=True)
    ratio = np.sqrt((size + epsilon / times**2) / (size + epsilon))
    a, b = scene.target.a, scene.target.b
    return explains(a, ratio * b, b) or explains(b, ratio * a, a)
