"""Two projections of one input whose weights were taken for each other."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.hints.scene import Hint, Scene, explains, left_over

_SIBLINGS = {
    "gate_proj": ("up_proj",),
    "up_proj": ("gate_proj",),
    "q_proj": ("k_proj", "v_proj"),
    "k_proj": ("v_proj", "q_proj"),
    "v_proj": ("k_proj", "q_proj"),
}


def swapped(scene: Scene) -> Hint | None:
    """A's projection is B's other one of the same input; or a fused pair's halves stand the other way round."""
    if scene.leaf == "gate_up_proj":
        return _swapped_halves(scene)
    around = scene.place.removesuffix(scene.leaf)
    for sibling in _SIBLINGS.get(scene.leaf, ()):
        near = scene.near(f"{around}{sibling}")
        found = None if near is None else scene.both(near)
        if found is None or found.a.shape != scene.target.a.shape:
            continue
        if explains(scene.target.a, found.b, scene.target.b) and explains(found.a, scene.target.b, found.b):
            left = max(left_over(scene.target.a, found.b, scene.target.b), left_over(found.a, scene.target.b, found.b))
            return Hint(
                "swapped-weights",
                f"{scene.leaf} and {sibling} are swapped on one side",
                f"A's {scene.leaf} is B's {sibling} and the other way round, to {left:.1e} of their difference.",
            )
    return None


def _swapped_halves(scene: Scene) -> Hint | None:
    a, b = scene.target.a, scene.target.b
    if a.shape[-1] % 2:
        return None
    other = np.roll(b, a.shape[-1] // 2, axis=-1)
    if not explains(a, other, b):
        return None
    return Hint(
        "swapped-weights",
        "gate_proj and up_proj are swapped on one side",
        f"the halves of A's gate_up_proj are B's the other way round, to {left_over(a, other, b):.1e} of the "
        "difference.",
    )
