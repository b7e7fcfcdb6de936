"""What the choice and the weights of a router's experts are both told by."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.routing.sides import RouterSide, RouterSides


def bias_of(sides: RouterSides, side: RouterSide) -> Numbers | None:
    """A side's own selection bias; the other's where it has none, or zeros."""
    own = side.bias if side.bias is not None and np.any(side.bias) else None
    other = sides.b.bias if side is sides.a else sides.a.bias
    return other if own is None else own


def score_words(name: str) -> str:
    return {"logits": "the logits themselves"}.get(name, f"the {name}")
