"""Weights of experts that differ though the router's logits agree: what each side's weights are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.mixture.router import bias_of, score_words
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.analysis.diff.routing.sides import RouterSide, RouterSides, router_sides
from tracetui.analysis.diff.routing.ways import SCORES, WeightFit, WeightWay, weight_fits

_SAME_FACTOR = 1e-3
"""How far apart, relative, two factors are that count as one."""


def expert_weight_way(scene: Scene) -> Hint | None:
    """Logits that agree and weights that don't: what each side's are made of."""
    sides = router_sides(scene.comparison, scene.site.site)
    if sides is None or not sides.raw_agrees:
        return None
    if scene.leaf == ":router_scores":
        return _other_scores(sides)
    pairs = list(product(_weight_fits(sides, sides.a), _weight_fits(sides, sides.b)))
    if not pairs:
        return _exchanged(sides)
    a, b = min(pairs, key=_unlikeness)
    return _other_weights(a, b, sides)


def recovered_weights(sides: RouterSides, weights_a: Numbers) -> Hint | None:
    """What A's weights [N,A] of the experts that B chose are made of, by B's scores: where A recorded no router."""
    a, b = replace(sides.b, weights=weights_a), sides.b
    pairs = list(product(_weight_fits(sides, a), _weight_fits(sides, b)))
    return _other_weights(*min(pairs, key=_unlikeness), sides) if pairs else None


def _weight_fits(sides: RouterSides, side: RouterSide) -> list[WeightFit]:
    if side.raw is None or side.experts is None or side.weights is None:
        return []
    return weight_fits(side.raw, bias_of(sides, side), side.experts, side.weights, sides.unit)


def _unlikeness(pair: tuple[WeightFit, WeightFit]) -> tuple[bool, int, float]:
    a, b = pair
    ways = (a.way.score != b.way.score) + (a.way.bias != b.way.bias) + (a.way.normalised != b.way.normalised)
    return ways > 0, ways, a.left + b.left


def _other_weights(a: WeightFit, b: WeightFit, sides: RouterSides) -> Hint | None:
    evidence = (
        f"A's are {_weight_words(a, sides)}, to {a.left:.0e}; B's are {_weight_words(b, sides)}, to {b.left:.0e}."
    )
    if a.way == b.way:
        if a.added != b.added:
            return Hint("expert-weights", _added_words(a, b), evidence)
        if abs(a.factor / b.factor - 1) < _SAME_FACTOR:
            return None
        title = f"Expert weights are scaled: A's are {a.factor / b.factor:.6g} times B's"
        return Hint("expert-weights", title, evidence)
    if a.way.score == b.way.score and a.way.bias == b.way.bias:
        other = "A normalises the chosen experts' weights, B doesn't"
        title = other if a.way.normalised else "A doesn't normalise the chosen experts' weights, B does"
        return Hint("expert-weights", title, evidence)
    if a.way.score == b.way.score:
        side = "A" if a.way.bias else "B"
        return Hint("expert-weights", f"{side}'s expert weights contain the selection bias", evidence)
    made, other = _made_of(a.way), _made_of(b.way)
    return Hint("expert-weights", f"A's expert weights are made of {made}, B's of {other}", evidence)


def _added_words(a: WeightFit, b: WeightFit) -> str:
    name, fit = ("A", a) if a.added > b.added else ("B", b)
    return f"{name} adds {fit.added:.3g} to the sum that the experts' weights are divided by"


def _made_of(way: WeightWay) -> str:
    if way.score == "equal":
        return "equal shares"
    return "the router's logits themselves" if way.score == "logits" else f"the {way.score}"


def _weight_words(fit: WeightFit, sides: RouterSides) -> str:
    way = fit.way
    if way.score == "equal":
        return f"{fit.factor:.4g} for every expert"
    words = {"logits": "the router's logits at the chosen experts"}.get(way.score, f"the {way.score} over all experts")
    words = f"{words} plus the selection bias" if way.bias else words
    if way.normalised:
        words += ", divided by their sum over the chosen" if way.score != "softmax" or way.bias else ""
        over_chosen = way.score == "softmax" and not way.bias
        words = words.replace("over all experts", "over the chosen experts") if over_chosen else words
    else:
        words += ", not normalised"
    words += f" plus {fit.added:.3g}" if fit.added else ""
    return f"{words}{_factor_words(fit.factor, sides.config)}"


def _factor_words(factor: float, config: Mapping[str, object]) -> str:
    if abs(factor - 1) < _SAME_FACTOR:
        return ""
    for name, value in config.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and ("scal" in name or "factor" in name):
            if value not in (0, 1) and abs(factor / value - 1) < _SAME_FACTOR:
                return f", times {name} ({value:g})"
            if value not in (0, 1) and abs(factor / value**2 - 1) < _SAME_FACTOR:
                return f", times {name} ({value:g}) twice"
    return f", times {factor:.6g}"


def _other_scores(sides: RouterSides) -> Hint | None:
    """The functions that make each side's scores of its logits."""
    names = [_score_of(side) for side in (sides.a, sides.b)]
    if not all(names) or names[0] == names[1]:
        return None
    title = f"A's router scores are {score_words(names[0])}, B's {score_words(names[1])}"
    told = [
        f"{name}'s weights are {_weight_words(min(fits, key=lambda fit: fit.left), sides)}"
        for name, fits in (("A", _weight_fits(sides, sides.a)), ("B", _weight_fits(sides, sides.b)))
        if fits
    ]
    evidence = "; ".join(["made anew from logits that agree, they are the recorded scores", *told])
    return Hint("router-scores", title, f"{evidence}.")


def _score_of(side: RouterSide) -> str:
    if side.logits is None or side.scores is None or side.logits.shape != side.scores.shape:
        return ""
    made = ((name, function(side.logits)) for name, function in SCORES.items())
    return next((name for name, scores in made if np.allclose(scores, side.scores, rtol=1e-3, atol=1e-5)), "")


def _exchanged(sides: RouterSides) -> Hint | None:
    """One side's weights are the other's, each token's at others of its experts."""
    a, b = sides.a, sides.b
    if a.weights is None or b.weights is None or a.experts is None or b.experts is None:
        return None
    if a.weights.shape != b.weights.shape or (np.sort(a.experts) != np.sort(b.experts)).any():
        return None
    rtol = max(1e-4, 4 * sides.unit)
    if not np.allclose(np.sort(a.weights), np.sort(b.weights), rtol=rtol):
        return None
    title = "The experts' weights stand at other experts of the same token"
    return Hint("expert-weights", title, f"sorted, A's and B's weights of all {len(a.weights)} tokens agree.")
