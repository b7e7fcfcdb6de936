"""The ways in which routers choose experts and weigh them, and which of them explain a choice that was recorded.

A way is told by what it makes: a choice is explained where no expert that was left out has a better score than one that
was taken, in any token; weights are explained where they are those of the way times one factor.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.recording.value import Array

_GROUPS = ("n_group", "num_group", "n_groups", "num_expert_group", "moe_n_group")
_USED = ("topk_group", "limited_groups", "moe_topk_group")


def softmax(logits: Numbers) -> Numbers:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: Numbers = shifted / shifted.sum(axis=-1, keepdims=True)
    return found


def sigmoid(logits: Numbers) -> Numbers:
    found: Numbers = 1 / (1 + np.exp(-logits))
    return found


def _root_of_softplus(logits: Numbers) -> Numbers:
    found: Numbers = np.sqrt(np.logaddexp(0, logits))
    return found


def _given(logits: Numbers) -> Numbers:
    return logits


def _softmax_twice(logits: Numbers) -> Numbers:
    return softmax(softmax(logits))


SCORES = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "sqrt(softplus)": _root_of_softplus,
    "logits": _given,
    "softmax of the softmax": _softmax_twice,
}
"""How scores are made of logits [N,E], by name."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """How groups narrow a choice; none where there is one."""

    groups: int = 1
    used: int = 1
    best: int = 2
    """By the sum of how many of its experts a group is ranked."""
    floor: float = -np.inf
    """What the experts of other groups count."""


@dataclass(frozen=True, slots=True)
class ChoiceWay:
    """How a choice may be made."""

    score: str
    bias: int = 0
    """How often the selection bias is added to the scores."""
    grouping: Grouping = Grouping()

    @property
    def by_rank(self) -> bool:
        """Whether nothing but the order of the scores decides, whatever function they are of the logits."""
        return not self.bias and self.grouping.groups == 1


def selection(way: ChoiceWay, logits: Numbers, bias: Numbers | None) -> Numbers:
    """What the choice is made from, by a way: [N,E]."""
    scores = SCORES[way.score](logits)  # [N,E]
    if bias is not None and way.bias:
        scores = scores + way.bias * bias
    return _grouped(scores, way.grouping) if way.grouping.groups > 1 else scores


def _grouped(scores: Numbers, how: Grouping) -> Numbers:
    parts = scores.reshape(len(scores), how.groups, -1)  # [N,G,E/G]
    ranks = np.sort(parts, axis=-1)[..., -how.best :].sum(axis=-1)  # [N,G]
    kept = np.zeros_like(ranks, dtype=np.bool_)  # [N,G]
    np.put_along_axis(kept, np.argsort(-ranks, axis=-1, kind="stable")[:, : how.used], True, axis=-1)
    found: Numbers = np.where(kept[..., None], parts, how.floor).reshape(scores.shape)
    return found


def explained(scores: Numbers, experts: Numbers, unit: float) -> Array:
    """Of which tokens the choice [N,A] follows from scores [N,E]: [N]. `unit` is what rounding may do, relative."""
    taken = np.take_along_axis(scores, experts.astype(np.int64), axis=-1)  # [N,A]
    left = scores.copy()  # [N,E]
    np.put_along_axis(left, experts.astype(np.int64), -np.inf, axis=-1)
    size = np.abs(np.where(np.isfinite(scores), scores, 0)).max(axis=-1)  # [N]
    found: Array = taken.min(axis=-1) + unit * size >= left.max(axis=-1)
    return found


def choice_ways(count: int, config: Mapping[str, object], biased: bool) -> Iterator[ChoiceWay]:
    """All that are tried for `count` experts, the plainest first."""
    groupings = [Grouping(), *_groupings(count, config)]
    biases = (0, 1, -1) if biased else (0,)
    for grouping, bias, score in itertools.product(groupings, biases, SCORES):
        way = ChoiceWay(score, bias, grouping)
        if score == "softmax" or not way.by_rank:
            yield way


def _groupings(count: int, config: Mapping[str, object]) -> Iterator[Grouping]:
    groups, used = _number(config, _GROUPS), _number(config, _USED)
    if groups < 2 or count % groups:
        return
    numbers = [used, *(other for other in range(1, groups) if other != used)]
    for kept, best, floor in itertools.product(numbers, (2, 1), (-np.inf, 0.0)):
        if 0 < kept < groups and best <= count // groups:
            yield Grouping(groups, kept, best, floor)


def group_count(config: Mapping[str, object]) -> int:
    """Into how many groups the experts are cut; 0 where nothing says it."""
    return _number(config, _GROUPS)


def _number(config: Mapping[str, object], names: Sequence[str]) -> int:
    found = (config.get(name) for name in names)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool)), 0)


@dataclass(frozen=True, slots=True)
class WeightWay:
    """What the chosen experts' weights may be made of."""

    score: str
    """One of SCORES, or `equal` shares."""
    bias: int = 0
    normalised: bool = False
    """Divided by their sum over the chosen."""


@dataclass(frozen=True, slots=True)
class WeightFit:
    """A way that explains the weights, times one factor for all tokens."""

    way: WeightWay
    factor: float
    left: float
    """The largest deviation, as a share of the largest weight."""
    added: float = 0.0
    """What was added to the sum that they are divided by."""


def weight_fits(
    logits: Numbers, bias: Numbers | None, experts: Numbers, weights: Numbers, unit: float
) -> list[WeightFit]:
    """Every way that explains the weights [N,A] of experts [N,A], from logits [N,E]."""
    index = experts.astype(np.int64)  # [N,A]
    taken = partial(np.take_along_axis, indices=index, axis=-1)
    found, limit = [], max(1e-4, 4 * unit)
    for way in _weight_ways(bias is not None and bool(np.any(bias)), experts.shape[1]):
        values = np.ones_like(weights) if way.score == "equal" else taken(SCORES[way.score](logits))  # [N,A]
        if way.bias and bias is not None:
            values = values + bias[index]
        fit = _divided(way, values, weights) if way.normalised else _fit(way, values, weights)
        if fit.left <= limit:
            found.append(fit)
    return found


def _fit(way: WeightWay, values: Numbers, weights: Numbers, added: float = 0.0) -> WeightFit:
    factor = float((weights * values).sum() / np.square(values).sum())
    left = float(np.abs(weights - factor * values).max() / max(np.abs(weights).max(), 1e-30))
    return WeightFit(way, factor, left, added)


def _divided(way: WeightWay, values: Numbers, weights: Numbers) -> WeightFit:
    """Of weights [N,A] that are values [N,A] divided by their sum, or failing that by the sum and a constant."""
    total = values.sum(axis=-1, keepdims=True)  # [N,1]
    plain = _fit(way, values / total, weights)
    # weights · (total + added) = factor · values
    terms = np.stack([values.ravel(), -weights.ravel()], axis=-1)  # [N·A,2]
    factor, added = np.linalg.lstsq(terms, (weights * total).ravel(), rcond=None)[0]
    if not (factor > 0 and 1e-4 < added / total.mean() < 1):
        return plain
    other = _fit(way, values / (total + added), weights, float(added))
    return other if 10 * other.left < plain.left else plain


def _weight_ways(biased: bool, active: int) -> Iterator[WeightWay]:
    # One expert's share of itself is 1, whatever it is made of.
    normalised = (False, True) if active > 1 else (False,)
    for bias, norm, score in itertools.product((0, 1) if biased else (0,), normalised, SCORES):
        if not (norm and score == "logits"):
            yield WeightWay(score, bias, norm)
    yield WeightWay("equal")
