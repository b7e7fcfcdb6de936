"""Faults of a norm: another epsilon, another scale, another weight."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Both, Numbers
from tracetui.analysis.diff.hints.norms.offsets import is_norm, normalised_input
from tracetui.analysis.diff.hints.scene import Hint, Scene, explains, left_over, real

_SPREAD = 0.02
"""How far estimates from single tokens may lie apart, relative to their mean."""
_FEWEST = 5
"""Tokens without which two numbers for each channel prove nothing."""
_EPSILONS = ("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "norm_epsilon", "norm_eps")
_VARIED = 0.1
"""How far apart, relative to their mean, mean squares and factors have to be to tell two epsilons."""
_OFTEN = 0.9
"""The share of tokens that another scale of a norm changes."""
_EXACT = 1e-3
"""The same for what no epsilon comes into."""


def norm(scene: Scene) -> Hint | None:
    """What makes one norm's output the other's: a factor for each token, or one for each channel."""
    if not is_norm(scene):
        return None
    inputs, y = normalised_input(scene), scene.target.rows()
    ratio = _dot(y.a, y.b) / _dot(y.b, y.b)  # [N]
    if not explains(y.a, ratio[:, None] * y.b, y.b):
        y = _without_bias(scene, inputs, y) if inputs is not None else y
        ratio = _dot(y.a, y.b) / _dot(y.b, y.b)  # [N]
    if not explains(y.a, ratio[:, None] * y.b, y.b):
        return _per_channel(scene.target.rows())
    if not scene.fed.found:
        # What it is given may be scaled, which an epsilon lets through.
        return None
    left = left_over(y.a, ratio[:, None] * y.b, y.b)
    spreads = {} if inputs is None or len(ratio) < 2 else _epsilons(inputs, ratio)
    if inputs is not None and len(ratio) > 2 and (power := _power(inputs, ratio)):
        return _power_hint(power, left, len(ratio))
    kind = min(spreads, key=lambda name: spreads[name][1], default="")
    if kind and spreads[kind][1] < min(_SPREAD, _spread(ratio - 1) / 2):
        return _epsilon_hint(spreads[kind][0], len(ratio), left)
    if inputs is not None and (difference := _both_epsilons(inputs, ratio)):
        return _epsilon_hint(difference, len(ratio), left)
    off = int((np.abs(ratio - 1) > 4 * scene.unit).sum())
    some = off < _OFTEN * len(ratio)
    return Hint(
        "norm-scale",
        f"What the norm returns is scaled in {off} of {len(ratio)} tokens" if some else "The norm's scale is another",
        f"a/b is one factor in each token, from {ratio.min():.6g} to {ratio.max():.6g}; "
        f"it explains all but {left:.1e} of the difference.",
    )


def _without_bias(scene: Scene, x: Numbers, y: Both) -> Both:
    """Both sides less the number that one of them adds to each channel, where it is a norm of inputs [N,D] and that.

    As they are where neither is one, with the epsilon that the configuration has.
    """
    epsilon = real(scene.config, *_EPSILONS) or 0.0
    if len(x) < _FEWEST:
        return y
    for values in (x - x.mean(axis=1, keepdims=True), x):
        unit = values / np.sqrt(np.square(values).mean(axis=1, keepdims=True) + epsilon)  # [N,D]
        flat = unit - unit.mean(axis=0)
        for side in (y.b, y.a):
            gains = (side * flat).sum(axis=0) / np.maximum(np.square(flat).sum(axis=0), 1e-300)  # [D]
            bias = side.mean(axis=0) - gains * unit.mean(axis=0)  # [D]
            if float(np.linalg.norm(gains * unit + bias - side)) <= scene.limit * float(np.linalg.norm(side)):
                return Both(y.a - bias, y.b - bias)
    return y


def _power(x: Numbers, ratio: Numbers) -> int:
    """How many times more than B, A divides by the root mean square of inputs [N,D]; 0 if by no whole number."""
    size = np.sqrt(np.square(x).mean(axis=1))
    if _spread(size) < _SPREAD:
        return 0
    return next((power for power in (1, -1) if _spread(ratio * size**power) < _EXACT), 0)


def _power_hint(power: int, left: float, tokens: int) -> Hint:
    side, other = ("A", "B") if power > 0 else ("B", "A")
    return Hint(
        "norm-scale",
        f"{side}'s norm divides once more by the root mean square than {other}'s: by the mean square itself, or "
        f"{other} doesn't divide at all",
        f"a/b follows each of {tokens} tokens' size so; it explains all but {left:.1e} of the difference.",
    )


def _epsilon_hint(difference: float, tokens: int, left: float) -> Hint:
    larger = "B" if difference > 0 else "A"
    return Hint(
        "norm-epsilon",
        f"The norm's epsilon is larger in {larger} by {abs(difference):.3g}",
        f"a/b is one factor in each of {tokens} tokens, and follows that token's mean square as the epsilon would have "
        f"it; it explains all but {left:.1e} of the difference.",
    )


def _epsilons(x: Numbers, ratio: Numbers) -> dict[str, tuple[float, float]]:
    """B's epsilon minus A's, its mean over the tokens and its spread, for a norm over mean squares and over variances.

    The factor is the root of (m + B's) / (m + A's), so that their difference is (factor² - 1)·(m + A's); A's own is
    small beside m.
    """
    found = {}
    for name, size in (("rms", np.square(x).mean(axis=1)), ("variance", x.var(axis=1))):
        # A's epsilon is small beside m or B's; where it isn't, the reverse holds for B's.
        forward, back = (np.square(ratio) - 1) * size, -(np.square(1 / ratio) - 1) * size
        best = min((forward, back), key=_spread)
        found[name] = (float(best.mean()), _spread(best))
    return found


def _both_epsilons(x: Numbers, ratio: Numbers) -> float:
    """B's epsilon minus A's where neither is small beside the mean squares of inputs [N,D]; 0 where there are none.

    factor²·(m + A's) = m + B's is linear in both.
    """
    square = np.square(x).mean(axis=1)  # [N]
    if len(ratio) < _FEWEST or min(_spread(square), _spread(ratio)) < _VARIED:
        return 0.0
    terms = np.stack([np.ones_like(ratio), -np.square(ratio)], axis=1)  # [N,2]
    (of_b, of_a), *_ = np.linalg.lstsq(terms, (np.square(ratio) - 1) * square, rcond=None)
    if of_a < 0 or of_b < 0:
        return 0.0
    made = np.sqrt((square + of_b) / (square + of_a))  # [N]
    # What the factors vary by has to come of the epsilons, not their mean alone.
    exact = float(np.abs(made - ratio).max()) < _SPREAD * min(float(ratio.std()), float(np.abs(ratio).min()))
    return float(of_b - of_a) if exact else 0.0


def _per_channel(y: Both) -> Hint | None:
    if len(y.a) < 3:
        return None
    ratio, model = _of_channels(y.a, y.b)
    if not explains(y.a, model, y.b):
        return _beside_bias(y)
    return Hint(
        "norm-scale",
        "The norm's weight is another",
        f"a/b is one factor in each channel at all {len(y.a)} tokens, from {ratio.min():.4g} to {ratio.max():.4g}; "
        f"it explains all but {left_over(y.a, model, y.b):.1e} of the difference.",
    )


def _of_channels(a: Numbers, b: Numbers) -> tuple[Numbers, Numbers]:
    """For each channel the factor [D] that makes most of `a` of `b`, and what it makes [N,D]."""
    ratio = (a * b).sum(axis=0) / np.square(b).sum(axis=0)
    return ratio, b * np.where(np.isfinite(ratio), ratio, 1)


def _beside_bias(y: Both) -> Hint | None:
    """The same where a bias is added: less their means over the tokens."""
    if len(y.a) < _FEWEST:
        return None
    a, b = y.a - y.a.mean(axis=0), y.b - y.b.mean(axis=0)
    ratio, model = _of_channels(a, b)
    if not explains(a, model, b):
        return None
    return Hint(
        "norm-scale",
        "The norm's weight is another",
        f"beside its mean, each channel is the other side's times one factor at all {len(a)} tokens, from "
        f"{ratio.min():.4g} to {ratio.max():.4g}; it explains all but {left_over(a, model, b):.1e} of the difference.",
    )


def _dot(a: Numbers, b: Numbers) -> Numbers:
    return np.asarray((a * b).sum(axis=1))


def _spread(found: Numbers) -> float:
    return float(found.std() / abs(found.mean())) if found.mean() else np.inf
