"""Masks: which keys they show, the window that makes them, and one that is the other's, moved."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.alignment.masks import HIDDEN
from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.scene import Hint, Scene

Flags = npt.NDArray[np.bool_]


def seen_through(mask: Numbers) -> Flags:
    """Which keys [T,S] a mask shows: one of booleans, or one that is added to the scores."""
    return (
        np.asarray(mask > 0.5) if set(np.unique(mask)) <= {0.0, 1.0} and mask.max() > 0 else np.asarray(mask > HIDDEN)
    )


def window_of(seen: Flags) -> int | None:
    """The window of a causal mask [T,S]; None: all before; 0: it is another mask."""
    tokens, keys = seen.shape
    back = np.arange(keys - tokens, keys)[:, None] - np.arange(keys)  # [T,S]
    causal = back >= 0
    if (seen == causal).all():
        return None
    width = int(seen[-1].sum())
    return width if width and (seen == (causal & (back < width))).all() else 0


def mask_shift(scene: Scene) -> Hint | None:
    """Two masks that differ in a known way: one is shifted by a position, hides nothing, or has another window."""
    found = scene.target
    if scene.leaf != ":mask" or found.a.ndim < 2 or min(found.a.shape[-2:]) < 3:
        return None
    a, b = (seen_through(side.reshape(-1, *side.shape[-2:])[0]) for side in (found.a, found.b))  # [T,S]
    if a.all() or b.all():
        sides = ("A", "B") if a.all() else ("B", "A")
        hidden = int((~(b if a.all() else a)).sum())
        return Hint("mask", f"{sides[0]}'s mask hides nothing", f"{sides[1]}'s hides {hidden} of {a.size} places.")
    windows = window_of(a), window_of(b)
    if 0 not in windows and windows[0] != windows[1]:
        return Hint("window", window_title(*windows), f"both masks are causal, of {a.shape[1]} keys.")
    for shift in (1, -1):
        if _moved(a, b, shift):
            ahead = ("A", "B") if shift > 0 else ("B", "A")
            return Hint(
                "mask",
                f"The mask is off by one: {ahead[0]}'s queries see one position further than {ahead[1]}'s",
                f"row t of {ahead[0]}'s mask is row t + 1 of {ahead[1]}'s, for {len(a) - 1} rows.",
            )
    return None


def _moved(a: Flags, b: Flags, shift: int) -> bool:
    """Whether row t of A's is row t + shift of B's."""
    one, other = (a[:-1], b[1:]) if shift > 0 else (a[1:], b[:-1])
    return bool((one == other).all())


def window_title(a: int | None, b: int | None) -> str:
    """What the queries of each side see."""
    seen_a, seen_b = (f"{window} keys back, themselves included" if window else "all before them" for window in (a, b))
    return f"The window differs: A's queries see {seen_a}, B's {seen_b}"
