"""Logits that one side caps: c·tanh(x/c)."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.numbers import explained, shown
from tracetui.analysis.diff.hints.scene import Hint, Scene, makes, real

_PLACES = ("logits", "lm_head")
_FIELDS = ("final_logit_softcapping", "logits_soft_cap", "logit_softcap", "final_logit_softcap")


def capped_logits(scene: Scene) -> Hint | None:
    """One side's logits are the other's under a cap, or both are capped by different numbers."""
    if scene.place not in _PLACES:
        return None
    a, b, plain = scene.target.a, scene.target.b, _plain(scene)
    limit = max(1e-4, 4 * scene.unit)
    for before, why in ((b, "of B's"), (a, "of A's"), (plain, "of what lm_head made")):
        if before is None or before.shape != a.shape:
            continue
        caps = [cap_of(side, before) for side in (a, b)]
        made = [cap * np.tanh(before / cap) if cap else before for cap in caps]
        if caps[0] != caps[1] and makes(a, made[0], b, limit) and (before is b or makes(b, made[1], a, limit)):
            return _hint(scene, caps, f"c·tanh(x/c) {why} makes each, to {limit:.0e}.")
    return None


def _plain(scene: Scene) -> Numbers | None:
    """The logits before any cap: as recorded, or made of B's or A's by the cap that the configuration names."""
    if scene.place == "logits" and (recorded := scene.borrowed("lm_head")) is not None:
        return recorded
    known = real(scene.config, *_FIELDS)
    other = scene.target.b if scene.comparison.b.run.config else scene.target.a
    return known * np.arctanh(other / known) if known and np.abs(other).max() < known else None


def _hint(scene: Scene, caps: list[float], evidence: str) -> Hint:
    a, b = (f"capped at {shown(cap)}{explained(cap, scene.config, 'logit')}" if cap else "not capped" for cap in caps)
    return Hint("softcap", f"The logits are {a} in A, {b} in B", evidence)


def cap_of(capped: Numbers, plain: Numbers) -> float:
    """The c with which c·tanh(x/c) makes the first of the second; 0 if the first is no smaller anywhere."""
    place = int(np.abs(plain).argmax())
    y, x = abs(float(capped.reshape(-1)[place])), abs(float(plain.reshape(-1)[place]))
    if not 0 < y < x * (1 - 1e-6):
        return 0.0
    # c·tanh(x/c) grows with c from y's side to x.
    low, high = y, 1e6 * x
    for _ in range(100):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if middle * np.tanh(x / middle) < y else (low, middle)
    return float(f"{low:.6g}")
