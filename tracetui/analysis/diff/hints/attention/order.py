"""Heads that are the other side's in another order."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.hints.scene import Hint, Scene


def head_order(scene: Scene) -> Hint | None:
    """Heads that are the other side's, in another order or repeated in another way."""
    if scene.leaf not in (":k", ":v", ":q") or scene.target.a.ndim != 4:
        return None
    a, b = (side.swapaxes(0, 1).reshape(side.shape[1], -1) for side in (scene.target.a, scene.target.b))  # [H,B·T·K]
    scale = float(np.square(b).sum(axis=1).mean())
    apart = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None, :] - 2 * a @ b.T  # [H,H]
    order = [int(place) for place in apart.argmin(axis=1)]
    near = apart.min(axis=1) <= max(1e-6, scene.unit**2) * scale
    if not near.all() or order == list(range(len(order))) or (apart.diagonal() <= 1e-6 * scale).all():
        return None
    shown = ", ".join(map(str, order[:12])) + (", …" if len(order) > 12 else "")
    return Hint(
        "kv-heads",
        f"The heads of {scene.leaf[1:]} stand in another order: repeated or split differently",
        f"A's heads are B's {shown}.",
    )
