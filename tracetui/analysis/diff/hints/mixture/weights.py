"""Faults of expert weights: not normalised, or scaled by a factor."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.hints.mixture.expert_sum import expert_sum
from tracetui.analysis.diff.hints.mixture.weighing import expert_weight_way
from tracetui.analysis.diff.hints.scene import Hint, Scene, explains, left_over
from tracetui.analysis.diff.result import Outcome

_WEIGHTS = (".mlp:routing_weights", ".mlp.gate#1")
_OUTPUTS = (".mlp.experts", ".mlp")
_OFTEN = 0.9
"""The share of tokens whose weights another way of making them changes."""


def expert_weights(scene: Scene) -> Hint | None:
    """What the weights are made of, or one factor for each token: in them, or in what the experts make of them."""
    if (known := expert_weight_way(scene) or expert_sum(scene)) is not None:
        return known
    summed = scene.near(".mlp.experts")
    if scene.place == ".mlp" and summed is not None and summed.outcome is Outcome.SAME:
        return None
    part = scene.site.site.partition("@")[0].rpartition("#")[2] if "#" in scene.site.site else ""
    place = f"{scene.place}#{part}" if part else scene.place
    routed = scene.near(".mlp:experts") or scene.near(".mlp.gate#2") or scene.near(".mlp:router_logits")
    if place not in (*_WEIGHTS, *_OUTPUTS) or (
        place in _OUTPUTS and routed is None and scene.near(".mlp.gate") is None
    ):
        return None
    found = scene.target.rows()
    ratio = (found.a * found.b).sum(axis=1) / np.square(found.b).sum(axis=1)  # [N]
    model = ratio[:, None] * found.b
    if len(ratio) < 2 or found.a.shape[1] < 2 or not explains(found.a, model, found.b):
        return None
    left = f"it explains all but {left_over(found.a, model, found.b):.1e} of the difference"
    if float(ratio.std()) < 1e-2 * abs(float(ratio.mean()) - 1):
        title = f"Expert weights are scaled: A's are {float(ratio.mean()):.6g} times B's"
        return Hint("expert-weights", title, f"one factor for all {len(ratio)} tokens; {left}.")
    sums = [side.sum(axis=1) for side in (found.a, found.b)]
    if (np.abs(ratio - 1) > 4 * scene.unit).mean() < _OFTEN:
        # What weights are made of changes those of all tokens.
        return None
    whole = [bool(np.allclose(side, side.mean(), rtol=max(1e-3, scene.unit))) for side in sums]
    evidence = f"a/b is one factor in each token, from {ratio.min():.4g} to {ratio.max():.4g}; {left}."
    if place in _WEIGHTS and whole[0] != whole[1]:
        side, other = ("A", "B") if whole[1] else ("B", "A")
        sums_of = sums[0] if whole[1] else sums[1]
        spread = f"{side}'s sum to {sums_of.min():.3g} to {sums_of.max():.3g}, {other}'s to one number; "
        return Hint(
            "expert-weights", f"{side} doesn't normalise the chosen experts' weights as {other} does", spread + evidence
        )
    return Hint("expert-weights", "The experts' weights are normalised on one side only, or scaled", evidence)
