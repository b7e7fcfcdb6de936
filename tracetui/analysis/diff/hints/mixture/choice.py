"""Choices of experts that differ though the router's logits agree: what each side's choice is made from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.mixture.router import bias_of, score_words
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.analysis.diff.routing.sides import RouterSide, RouterSides, router_sides
from tracetui.analysis.diff.routing.ways import (
    ChoiceWay,
    Grouping,
    choice_ways,
    explained,
    selection,
)
from tracetui.recording.value import Array

_ORDINALS = ("1st", "2nd", "3rd")
_BEFORE_CHOICE = (":selection_bias", ":selection_scores")
_MOST_WAYS = 3


def expert_choice(scene: Scene) -> Hint | None:
    """Logits that agree and experts that don't: what each side's choice follows from."""
    sides = router_sides(scene.comparison, scene.site.site)
    if sides is None or not sides.raw_agrees or sides.a.experts is None or sides.b.experts is None:
        return None
    if sides.a.experts.shape[1] != sides.b.experts.shape[1]:
        counts = (side.shape[1] for side in (sides.a.experts, sides.b.experts))
        title = "A takes {} experts for each token, B {}".format(*counts)
        return Hint("expert-choice", title, "the router's logits agree.")
    same = (np.sort(sides.a.experts) == np.sort(sides.b.experts)).all()
    if scene.leaf == ":router_scores" or (same and scene.leaf not in _BEFORE_CHOICE):
        return None
    return _other_ways(sides) or _other_ranks(sides) or _renumbered(sides) or _unexplained(sides)


def _other_ways(sides: RouterSides) -> Hint | None:
    """The two ways, one for each side, that have most in common."""
    ways = [list(_choice_ways(sides, side)) for side in (sides.a, sides.b)]
    recorded = [(side.selection is not None, side) for side in (sides.a, sides.b)]
    known = [
        _aspects(a, b, sides)
        for a, b in product(*ways)
        if not any(has for has, _ in recorded)
        or any(has and _is_recorded(side, way, sides) for (has, side), way in zip(recorded, (a, b), strict=True))
    ]
    least = min(map(_unlikely, known), default=(0, 0))
    if not least[0]:
        return None
    told = ["; ".join(aspects) for aspects in known if _unlikely(aspects) == least]
    alternatives = list(dict.fromkeys(told))[:_MOST_WAYS]
    tokens = len(sides.a.experts) if sides.a.experts is not None else 0
    evidence = f"the router's logits agree; each side's choice follows in that way for all {tokens} tokens."
    evidence += " These tokens don't tell which of these it is." if len(alternatives) > 1 else ""
    bias = _bias_evidence(sides) if "bias" in alternatives[0] else ""
    return Hint("expert-choice", "; or ".join(alternatives), f"{bias}{evidence}")


def _unlikely(aspects: list[str]) -> tuple[int, int]:
    """How much two ways differ; other scores are rarer than what is left out."""
    rare = sum("chooses by" in each for each in aspects)
    return len(aspects), rare


def _choice_ways(sides: RouterSides, side: RouterSide) -> Iterator[ChoiceWay]:
    """Those that explain all of a side's choices."""
    raw, bias = side.raw, bias_of(sides, side)
    if raw is None or side.experts is None:
        return
    for way in choice_ways(raw.shape[1], sides.config, bias is not None and bool(np.any(bias))):
        if explained(selection(way, raw, bias), side.experts, sides.unit).all():
            yield way


def _is_recorded(side: RouterSide, way: ChoiceWay, sides: RouterSides) -> bool:
    """Whether a way's selection scores are the recorded ones; a run tells them from the choice, in the usual way."""
    if side.selection is None or side.raw is None or side.selection.shape != side.raw.shape:
        return False
    known, made = side.selection, selection(way, side.raw, bias_of(sides, side))
    if way.by_rank:
        return not np.isneginf(known).any() and (side.bias is None or not np.any(side.bias))
    masked = np.isneginf(known)
    return bool((masked == np.isneginf(made)).all() and np.allclose(known[~masked], made[~masked], rtol=1e-3))


def _aspects(a: ChoiceWay, b: ChoiceWay, sides: RouterSides) -> list[str]:
    """In words, in what two ways differ."""
    found = []
    if a.bias != b.bias:
        found.append(_bias_words(a.bias, b.bias))
    elif a.bias and _differ(sides.a.bias, sides.b.bias, sides.unit):
        found.append("The selection biases differ")
    if a.grouping != b.grouping:
        found.append(_group_words(a.grouping, b.grouping))
    if a.score != b.score and not (a.by_rank or b.by_rank):
        found.append(f"A chooses by {score_words(a.score)}, B by {score_words(b.score)}")
    return found


def _differ(a: Numbers | None, b: Numbers | None, unit: float) -> bool:
    if a is None or b is None or not (np.any(a) and np.any(b)):
        return False
    return not np.allclose(a, b, rtol=4 * unit, atol=2 * unit * float(np.abs(b).max()))


def _bias_words(a: int, b: int) -> str:
    words = {
        (0, 1): "A leaves out the selection bias",
        (1, 0): "A adds a selection bias, B none",
        (-1, 1): "A subtracts the selection bias",
        (1, -1): "B subtracts the selection bias",
        (0, -1): "B subtracts a selection bias, A has none",
        (-1, 0): "A subtracts a selection bias, B has none",
    }
    return words[a, b]


def _bias_evidence(sides: RouterSides) -> str:
    told = [
        f"{name}'s from {side.bias.min():.3g} to {side.bias.max():.3g}" if np.any(side.bias) else f"{name}'s all 0"
        for name, side in (("A", sides.a), ("B", sides.b))
        if side.bias is not None
    ]
    return f"Selection bias: {', '.join(told)}; " if told else ""


def _group_words(a: Grouping, b: Grouping) -> str:
    if a.groups == 1 or b.groups == 1:
        how = a if b.groups == 1 else b
        side, other = ("A", "B") if a.groups == 1 else ("B", "A")
        return f"{side} ignores the groups of experts, where {other} takes the best {how.used} of {how.groups}"
    if a.used != b.used:
        return f"A takes the best {a.used} of {a.groups} groups, B {b.used}"
    if a.best != b.best:
        by = {1: "its best expert", 2: "the sum of its best two"}
        return f"A ranks a group of experts by {by[a.best]}, B by {by[b.best]}"
    zeros = "A" if a.floor == 0 else "B"
    return f"{zeros} sets the scores of masked groups to 0, not to minus infinity: biases below 0 let them win"


def _other_ranks(sides: RouterSides) -> Hint | None:
    """A choice that takes other ranks than the first, by the scores that explain the other side's."""
    for name, side, other in (("A", sides.a, sides.b), ("B", sides.b, sides.a)):
        scores = other.selection if other.selection is not None else other.raw
        if scores is None or side.experts is None or other.experts is None:
            continue
        if not explained(scores, other.experts, sides.unit).all():
            continue
        order = np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1)  # [N,E]
        ranks = np.sort(np.take_along_axis(order, side.experts.astype(np.int64), axis=-1), axis=-1)  # [N,A]
        first = ranks[0].tolist()
        if first == list(range(len(first))):
            continue
        if (ranks == ranks[0]).all():
            taken = ", ".join(_ordinal(rank) for rank in first)
            title = f"The choice is at fault: {name} takes the {taken} best of {scores.shape[1]} experts"
            return Hint("expert-choice", title, f"by scores that agree, in all {len(ranks)} tokens.")
    return None


def _ordinal(rank: int) -> str:
    return _ORDINALS[rank] if rank < len(_ORDINALS) else f"{rank + 1}th"


def _renumbered(sides: RouterSides) -> Hint | None:
    """One side's experts are the other's under other numbers."""
    a, b, raw = sides.a.experts, sides.b.experts, sides.b.raw
    if a is None or b is None or raw is None:
        return None
    count, tokens = raw.shape[1], len(a)
    for shift in range(1, count):
        if (np.sort((b + shift) % count) == np.sort(a)).all():
            by = f"{shift} more" if shift <= count // 2 else f"{count - shift} less"
            title = f"A's experts have other numbers: {by} than B's, modulo {count}"
            return Hint("expert-choice", title, f"the router's logits agree; so it is in all {tokens} tokens.")
    numbers = _numbers_of(a.astype(int), b.astype(int))
    if not numbers:
        return None
    told = ", ".join(f"{number} for B's {expert}" for expert, number in list(numbers.items())[:4])
    title = "A's experts have other numbers than B's"
    return Hint("expert-choice", title, f"the router's logits agree; in all {tokens} tokens A takes {told}.")


def _numbers_of(a: Array, b: Array) -> dict[int, int]:
    """What A calls each of B's experts, if one numbering explains all choices [N,A]; else empty."""
    rows = {
        expert: set.intersection(*(set(row.tolist()) for row in a[(b == expert).any(axis=1)]))
        for expert in np.unique(b).tolist()
    }
    numbers: dict[int, int] = {}
    for expert, candidates in sorted(rows.items(), key=lambda each: len(each[1])):
        free = candidates - set(numbers.values())
        if not free:
            return {}
        numbers[expert] = min(free)
    mapped = np.vectorize(numbers.__getitem__)(b)
    # With few tokens any choice can be called a renumbering.
    known = len(b) >= 2 * len(numbers) and len(numbers) > b.shape[1] and (np.sort(mapped) == np.sort(a)).all()
    return numbers if known else {}


def _unexplained(sides: RouterSides) -> Hint | None:
    """One side's choice follows from the scores, the other's does not: it was made from something else."""
    for name, side, other in (("A", sides.a, sides.b), ("B", sides.b, sides.a)):
        scores = other.selection if other.selection is not None else other.raw
        if scores is None or side.experts is None or other.experts is None:
            continue
        if explained(scores, other.experts, sides.unit).all() and not any(_choice_ways(sides, side)):
            count = int(explained(scores, side.experts, sides.unit).sum())
            rest = "AB".replace(name, "")
            title = f"The choice is at fault: {name}'s doesn't follow from its router's scores"
            told = f"the logits agree; from {rest}'s scores {rest}'s choice follows for all {len(scores)} tokens, "
            return Hint("expert-choice", title, f"{told}{name}'s for {count}, with no bias or grouping that is known.")
    return None
