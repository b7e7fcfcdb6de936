"""What norms do to their weight and to what they normalise: 1 + w for w, the mean taken off, all heads at once."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Both, Numbers
from tracetui.analysis.diff.hints.scene import Hint, Scene, explains, left_over
from tracetui.recording.record import INPUT, plain_site

_ONE_PLUS = (
    *("gemma", "gemma2", "gemma3", "gemma3_text", "recurrent_gemma", "vaultgemma", "t5gemma", "t5gemma2"),
    *("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text", "minimax_m3_vl_text", "step3p7_text"),
)
"""Families whose RMS norms multiply with 1 + w: the recorded numbers alone don't tell w from 1 + w."""
_WHOLE = 0.01
"""How far from a whole number an offset may be measured."""
_FEWEST = 4
"""Rows without which one number, or two, for each channel prove nothing."""


def norm_offset(scene: Scene) -> Hint | None:
    """A norm weight to which one side adds more: the outputs differ by a whole multiple of the normalised input."""
    y, x = scene.target.rows(), normalised_input(scene)
    if x is None:
        return None
    for unit in (unit_rows(x), _centred(x)):
        size = float(np.square(unit).sum())
        offset = round(times := float(((y.a - y.b) * unit).sum()) / size) if size else 0
        if offset and abs(times - offset) < _WHOLE and explains(y.a, y.b + offset * unit, y.b):
            left = left_over(y.a, y.b + offset * unit, y.b)
            evidence = f"a - b is {offset}·the normalised input, to {left:.1e} of the difference."
            return Hint("norm-scale", _offset_title(offset, scene), evidence)
    return None


def _offset_title(offset: int, scene: Scene) -> str:
    """Which factors these are, as far as a family is known."""
    larger, smaller = ("A", "B") if offset > 0 else ("B", "A")
    a, b = (str(side.run.config.get("model_type", "")) for side in (scene.comparison.a, scene.comparison.b))
    usual = 1 if (b or a) in _ONE_PLUS else 0
    if bool(a) != bool(b):
        known, faulty = ("A", "B") if a else ("B", "A")
        other = usual + (abs(offset) if faulty == larger else -abs(offset))
        return f"{faulty} multiplies with {_weight(other)} where {known}'s ({a or b}) has {_weight(usual)}"
    most = f"{larger} multiplies by {abs(offset)} more than {smaller}"
    if a and b:
        return f"{most}; {b} multiplies with {_weight(usual)}"
    return f"{most}: with 1 + w where {smaller} has w, or with 2 + w where it has 1 + w" if abs(offset) == 1 else most


def _weight(offset: int) -> str:
    return "w" if not offset else f"{offset} + w" if offset > 0 else f"w - {-offset}"


def norm_kind(scene: Scene) -> Hint | None:
    """One side takes the mean off, the other doesn't; or normalises all of a token's heads at once."""
    y, x = scene.target.rows(), normalised_input(scene)
    if x is None or len(x) < _FEWEST:
        return None
    limit = scene.limit
    ways = {"plain": unit_rows(x), "mean": _centred(x), "token": _whole(scene, x)}
    fits = [
        {way for way, unit in ways.items() if unit is not None and _follows(side, unit, limit)} for side in (y.a, y.b)
    ]
    if any(len(fit) != 1 for fit in fits) or fits[0] == fits[1]:
        return None
    a, b = (_WAYS[fit.pop()] for fit in fits)
    name = "qk-norm" if "heads" in f"{a}{b}" else "norm-mean"
    evidence = (
        f"with one factor for each channel, either is all but {limit:.0e} of that side's, and not of the other's."
    )
    return Hint(name, f"The norms are of two kinds: A {a}, B {b}", evidence)


_WAYS = {
    "plain": "divides by the root mean square (RMSNorm)",
    "mean": "takes the mean off first (LayerNorm)",
    "token": "normalises all heads of a token at once",
}


def _follows(side: Numbers, unit: Numbers, limit: float) -> bool:
    """Whether one factor for each channel, and one number added to it, make the norm's output of the unit one."""
    flat = unit - unit.mean(axis=0)
    gains = ((side - side.mean(axis=0)) * flat).sum(axis=0) / np.maximum(np.square(flat).sum(axis=0), 1e-300)  # [D]
    made = gains * flat + side.mean(axis=0)
    if len(side) < 2 * _FEWEST:
        gains = (side * unit).sum(axis=0) / np.maximum(np.square(unit).sum(axis=0), 1e-300)
        made = gains * unit
    return float(np.linalg.norm(made - side)) <= limit * float(np.linalg.norm(side))


def normalised_input(scene: Scene) -> Numbers | None:
    """What a norm is taken of, in rows as long as its own [N,D]; None where it isn't one, or wasn't recorded."""
    if not is_norm(scene):
        return None
    x, y = _first_input(scene) or scene.fed_by_as_many(), scene.target.rows()
    return None if x is None else x.a.reshape(-1, y.a.shape[1])


def _first_input(scene: Scene) -> Both | None:
    """What the module was given first, where that was recorded: a gated norm is given its gate beside it."""
    given = next(
        (fed for fed in scene.fed.found if plain_site(fed.site) == f"{plain_site(scene.site.site)}:{INPUT}"), None
    )
    found = None if given is None or "#" in given.site else scene.both(given)
    return found if found is not None and found.a.size == scene.target.a.size else None


def is_norm(scene: Scene) -> bool:
    return "norm" in scene.leaf or scene.leaf.startswith("ln_")


def unit_rows(x: Numbers) -> Numbers:
    """Rows [N,D] whose root mean square is 1."""
    return np.asarray(x / np.sqrt(np.maximum(np.square(x).mean(axis=1, keepdims=True), 1e-300)))


def _centred(x: Numbers) -> Numbers:
    return unit_rows(x - x.mean(axis=1, keepdims=True))


def _whole(scene: Scene, x: Numbers) -> Numbers | None:
    """Heads over the root mean square of their whole token; None where these are no heads."""
    found: Both | None = scene.fed_by_as_many()
    if found is None or found.a.shape[-1] <= x.shape[1] or scene.leaf not in ("q_norm", "k_norm"):
        return None
    return unit_rows(found.a.reshape(-1, found.a.shape[-1])).reshape(x.shape)
