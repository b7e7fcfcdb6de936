"""Values that one side rounded to a coarser dtype than the other."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.analysis.diff.rounding.number_bits import narrow_dtype

_ROUNDING = 0.1
"""Further apart, relative, a tensor is no rounded copy of the other."""


def coarse(scene: Scene) -> Hint | None:
    """One side's values all have the few bits of bfloat16 or float16, the other's don't."""
    a, b = scene.target.a, scene.target.b
    if max(a.size, b.size) > 1 << 22 or np.linalg.norm(a - b) > _ROUNDING * np.linalg.norm(b):
        return None
    dtypes = {named.record.dtype for named in (scene.site.pair.a, scene.site.pair.b)}
    if dtypes & {"bfloat16", "float16"}:
        return None
    bits = [narrow_dtype(side.astype(np.float32)) or "" for side in (a, b)]
    for name, own, other in (("A", *bits), ("B", *bits[::-1])):
        if own and own != other:
            rest = "AB".replace(name, "")
            title = f"{name}'s values are {own} numbers, {rest}'s are not"
            count = np.count_nonzero(a if name == "A" else b)
            return Hint(
                "coarse", title, f"each of {count:,} has the bits of {own} alone: {name} computed or kept them in it."
            )
    return None
