"""How a router came to its choice: its scores, which no hook sees, told from what went in and what came out.

transformers' routers differ in how they score (softmax, sigmoid), in what is added for the choice alone (a bias), in
which groups of experts may be used, and in how the weights follow. Each combination is tried in turn, and the one whose
choice and weights come nearest to those that really came back is the router's. Where only the choice follows, or only
the weights do, the scores are given as far as they are the only ones that explain it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache
from typing import Any

import torch
from torch import nn

from tracetui.models.config_fields import config_field
from tracetui.models.deepseek_gate import DeepseekReferenceGate

_GROUPS = ("n_group", "num_group", "n_groups", "num_expert_group")
_GROUPS_USED = ("topk_group", "limited_groups")
_PLAIN_METHOD = "greedy"
_FILLED_WITH_ZERO = re.compile(r"masked_fill\([^\n]*,\s*0(?:\.0*)?\)")
_SLACK = 4
"""Rounding steps of the router's dtype by which a recomputed value may differ."""

Score = Callable[[torch.Tensor], torch.Tensor]
Rank = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False, slots=True)
class Seen:
    """What a module beside the experts returned, and the bias it holds for the choice [E], if any."""

    module: nn.Module
    output: object
    bias: torch.Tensor | None


@dataclass(frozen=True, eq=False, slots=True)
class Routing:
    """A choice explained as far as it could be: None for what it couldn't."""

    logits: torch.Tensor | None = None
    """The router's raw output [N,E]."""
    scores: torch.Tensor | None = None
    """After softmax or sigmoid [N,E]."""
    selection: torch.Tensor | None = None
    """What the choice was made from [N,E]: the bias added, groups that were not used -inf, or 0 in a few routers."""
    bias: torch.Tensor | None = None
    """Added for the choice alone [E]."""
    classes: torch.Tensor | None = None
    """The choice [N,A] among more classes than there are experts, those after the last being none; else None."""
    weighed: bool = False
    """Whether the weights follow from the scores, as they are or as shares of their sum, times one factor."""


class _Follows(IntEnum):
    """How much of a choice and its weights follows from scores; the least is best."""

    ALL = 0
    UP_TO_TOKENS = 1
    """The weights do but for a factor of each token's own: a shared expert may have had its part in the sum."""
    CHOICE = 2
    """The weights don't."""
    WEIGHTS = 3
    """The choice doesn't: it was made from something else, such as the token's id."""


@dataclass(frozen=True, eq=False, slots=True)
class _Explained:
    """A router's way that may be."""

    follows: _Follows
    apart: float
    """How far its weights are from the real ones."""
    score: str
    routing: Routing
    plain: bool = True
    """Whether nothing but the order of the scores decides."""


def bias_of(module: nn.Module) -> torch.Tensor | None:
    """The selection bias that a module itself holds, as it is now: a number for each expert, beside its own `bias`."""
    own = (*module._parameters.items(), *module._buffers.items())
    found = (tensor for name, tensor in own if name != "bias" and "bias" in name and tensor is not None)
    return next((bias.detach().reshape(-1) for bias in found if bias.numel() > 1), None)


def explain(seen: Sequence[Seen], config: Any, experts: torch.Tensor, weights: torch.Tensor, count: int) -> Routing:
    """The routing of N tokens among `count` experts, of which `experts` [N,A] were chosen with `weights` [N,A]."""
    candidates = _candidates(seen, count, len(experts))
    for router, logits in candidates:
        if isinstance(router, DeepseekReferenceGate):
            # Our own, which can say it: one choice may follow from several ways.
            scores = router.scores(logits)  # [N,E]
            bias = _bias(seen, count)
            return Routing(logits, scores, router.selection_scores(scores, bias), bias, weighed=True)
    found = _best(candidates, _bias(seen, count), config, experts, weights, count)
    if found is None and not candidates:
        return _with_more_classes(seen, config, experts, weights, count)
    if found is not None:
        return found
    routers = _outermost(candidates)
    return Routing(routers[0][1]) if len(routers) == 1 else Routing()


_Candidates = Sequence[tuple[nn.Module, torch.Tensor]]
"""Modules that may be the router, with the [N,E] that each returned."""


def _candidates(seen: Sequence[Seen], width: int, rows: int) -> _Candidates:
    found = ((one.module, logits) for one in seen for logits in _scores_in(one.output, width))
    return [(router, logits) for router, logits in found if len(logits) == rows]


def _outermost(candidates: _Candidates) -> _Candidates:
    """Those that are part of no other: a router may hold its layer or its scoring function as a module."""
    return [(router, logits) for router, logits in candidates if _around(router, candidates) is None]


def _around(module: nn.Module, candidates: _Candidates) -> torch.Tensor | None:
    """What the router returned that a module is a part of; None for a module of its own."""
    owners = (logits for router, logits in candidates if router is not module and module in router.modules())
    return next(owners, None)


def _bias(seen: Sequence[Seen], count: int) -> torch.Tensor | None:
    return next((one.bias for one in seen if one.bias is not None and one.bias.numel() == count), None)


def _best(
    candidates: _Candidates,
    bias: torch.Tensor | None,
    config: Any,
    experts: torch.Tensor,
    weights: torch.Tensor,
    count: int,
) -> Routing | None:
    """The way that explains most, and of these the one that is nearest; None where nothing is explained."""
    ways: list[_Explained] = []
    for router, logits in candidates:
        ranks = tuple(_ranks(router, config, count, biased=bias is not None))
        ways += [
            _of_given(way, router, logits, candidates) if way.score == "given" else way
            for way in _tried(logits, _biases(bias), ranks, experts, weights)
        ]
    # The order of scores is the same whatever function they are of the logits; with a bias or groups it is not.
    chosen = [way for way in ways if way.follows is _Follows.CHOICE and not way.plain]
    if len({way.score for way in chosen}) > 1:
        chosen = []
    known = [*(way for way in ways if way.follows is not _Follows.CHOICE), *chosen]
    nearest = min(known, key=lambda way: (way.follows, way.score == "given", way.apart), default=None)
    return None if nearest is None else nearest.routing


def _of_given(way: _Explained, router: nn.Module, output: torch.Tensor, candidates: _Candidates) -> _Explained:
    """What a module returned are the scores: its router's own output are the logits, else the same, unless bounded."""
    logits = _around(router, candidates)
    if logits is None and not bool(((output >= 0) & (output <= 1)).all()):
        logits = output
    return replace(way, routing=replace(way.routing, logits=logits))


def _tried(
    logits: torch.Tensor,
    biases: Sequence[torch.Tensor | None],
    ranks: Sequence[Rank],
    experts: torch.Tensor,
    weights: torch.Tensor,
) -> Iterator[_Explained]:
    """Every way from the logits [N,E] to the choice or the weights that may be."""
    wide = logits.float()  # [N,E]
    tolerance = _SLACK * torch.finfo(logits.dtype).eps
    for name, score in _SCORES.items():
        scores = score(wide)  # [N,E]
        follows, apart = _weighed(scores, experts, weights, tolerance)
        known = Routing(logits, scores, weighed=follows is _Follows.ALL)
        chosen = False
        for bias, rank, base in _selections(biases, ranks, scores, wide):
            selection = rank(base if bias is None else base + bias)  # [N,E]
            if _chosen(selection, experts, tolerance):
                chosen, plain = True, bias is None and rank is _given
                yield _Explained(follows, apart, name, replace(known, selection=selection, bias=bias), plain)
        if not chosen and follows is _Follows.ALL and experts.shape[1] > 1:
            yield _Explained(_Follows.WEIGHTS, apart, name, known)


def _selections(
    biases: Sequence[torch.Tensor | None], ranks: Sequence[Rank], scores: torch.Tensor, logits: torch.Tensor
) -> Iterator[tuple[torch.Tensor | None, Rank, torch.Tensor]]:
    """What may decide, the likeliest first: a bias is added to the scores, rarely to the logits."""
    for bias in biases:
        for rank in ranks:
            yield bias, rank, scores
        if bias is not None:
            yield bias, _given, logits


def _with_more_classes(
    seen: Sequence[Seen], config: Any, experts: torch.Tensor, weights: torch.Tensor, count: int
) -> Routing:
    """A router with classes that are no experts: a weight of 0 is a choice of these, if that explains it."""
    for one in seen:
        logits = next(iter(_wider(one.output, count, len(experts))), None)
        if logits is None:
            continue
        width = logits.shape[1]
        candidates, bias = [(one.module, logits)], _bias(seen, width)
        last = torch.arange(experts.shape[1], device=experts.device) + count  # [A]
        classes = torch.where(weights == 0, last.clamp(max=width - 1), experts)  # [N,A]
        scored = torch.where(weights == 0, logits.float().softmax(-1).gather(1, classes), weights)  # [N,A]
        found = _best(candidates, bias, config, classes, scored.to(weights.dtype), width)
        if found is not None and found.selection is not None:
            return replace(found, classes=classes, weighed=False)
    return Routing()


def _wider(output: object, count: int, rows: int) -> Iterator[torch.Tensor]:
    """The [N,C] of floats in what a module returned that have a few more classes than there are experts."""
    for part in output if isinstance(output, tuple | list) else (output,):
        wide = isinstance(part, torch.Tensor) and part.is_floating_point() and part.dim() == 2 and len(part) == rows
        if wide and count < part.shape[1] < 2 * count:
            yield part


def weights_of(routing: Routing, experts: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """The weights [N,A] that a router would have given to experts `chosen` [N,A] instead of `experts` [N,A].

    They are the scores of the chosen, or their shares, times the factor that made `weights` [N,A]. A token's weights
    stay where its experts do, and all of them where the router's scores aren't known, or don't make them.
    """
    if routing.scores is None or not routing.weighed:
        return weights
    scores = routing.scores.double()  # [N,E]
    taken, others = scores.gather(1, experts), scores.gather(1, chosen)  # [N,A]
    ways = ((taken, others), (_shares(taken), _shares(others)))
    expected, made = min(ways, key=lambda way: _unlike(weights.double(), way[0]))  # [N,A]
    factor = _factor(weights.double(), expected)
    stays = (experts == chosen).all(dim=1, keepdim=True)  # [N,1]
    return torch.where(stays, weights, (factor * made).to(weights.dtype))


def _shares(taken: torch.Tensor) -> torch.Tensor:
    return taken / taken.sum(dim=1, keepdim=True)


def _scores_in(output: object, count: int) -> Iterator[torch.Tensor]:
    """Every [N,E] of floats in what a module returned."""
    parts = output if isinstance(output, tuple | list) else (output,)
    for part in parts:
        if isinstance(part, torch.Tensor) and part.is_floating_point() and part.dim() > 1 and part.shape[-1] == count:
            yield part.reshape(-1, count)


def has_scores(output: object, count: int) -> bool:
    """Whether what a module returned may be a router's output for so many experts, or a few classes more."""
    if any(True for _ in _scores_in(output, count)):
        return True
    parts = output if isinstance(output, tuple | list) else (output,)
    tensors = (part for part in parts if isinstance(part, torch.Tensor) and part.dim() == 2)
    return any(True for part in tensors for _ in _wider(part, count, len(part)))


def _given(logits: torch.Tensor) -> torch.Tensor:
    return logits


_SCORES: dict[str, Score] = {
    "softmax": lambda logits: logits.softmax(dim=-1),
    "sigmoid": torch.sigmoid,
    "sqrt softplus": lambda logits: torch.nn.functional.softplus(logits).sqrt(),
    "given": _given,
}


def _biases(bias: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
    return (None,) if bias is None else (bias.float(), None)


def _ranks(router: nn.Module, config: Any, count: int, biased: bool) -> Iterator[Rank]:
    """How the choice may have been narrowed: to the groups with the best two experts or the best one; or not at all.

    Routers with a bias rank groups by their best two (DeepSeek-V3), those without by the best (V2).
    """
    groups, used = _number(router, config, _GROUPS), _number(router, config, _GROUPS_USED)
    method = getattr(router, "topk_method", config_field(config, "topk_method"))
    if groups and used and groups > 1 and count % groups == 0 and used <= groups and method != _PLAIN_METHOD:
        kind: Any = type(router)
        # Without a bias no score is below 0, and what counts 0 is masked as well.
        floor = 0.0 if biased and _masks_with_zero(kind) else -torch.inf
        for best in (2, 1) if biased else (1, 2):
            if count // groups >= best:
                yield lambda selection, best=best: _only_groups(selection, groups, used, best, floor)  # type: ignore[misc]
    yield _given


@cache
def _masks_with_zero(kind: Any) -> bool:
    """Whether a router's own code lets the experts of masked groups count 0, where a negative score loses to them."""
    try:
        return _FILLED_WITH_ZERO.search(inspect.getsource(kind)) is not None
    except (OSError, TypeError):
        return False


def _number(router: nn.Module, config: Any, names: Sequence[str]) -> int | None:
    said = (config_field(owner, name) for owner in (router, config) for name in names)
    return next((value for value in said if isinstance(value, int)), None)


def _only_groups(selection: torch.Tensor, groups: int, used: int, best: int, floor: float) -> torch.Tensor:
    """The selection scores [N,E] with `floor` outside the `used` groups whose `best` experts have the largest sum."""
    grouped = selection.view(len(selection), groups, -1)  # [N,G,E/G]
    ranks = grouped.topk(best, dim=-1).values.sum(dim=-1)  # [N,G]
    kept = torch.zeros_like(ranks, dtype=torch.bool).scatter_(1, ranks.topk(used, dim=-1).indices, True)  # [N,G]
    return grouped.masked_fill(~kept[..., None], floor).view_as(selection)  # [N,E]


def _chosen(selection: torch.Tensor, experts: torch.Tensor, tolerance: float) -> bool:
    """Whether no expert that was left out has a better score than one that was taken."""
    taken = selection.gather(1, experts)  # [N,A]
    left = selection.scatter(1, experts, -torch.inf)  # [N,E]
    allowed = tolerance * selection.nan_to_num(0.0, 0.0, 0.0).abs().amax(dim=1)  # [N]
    return bool((taken.amin(dim=1) + allowed >= left.amax(dim=1)).all())


def _weighed(
    scores: torch.Tensor, experts: torch.Tensor, weights: torch.Tensor, tolerance: float
) -> tuple[_Follows, float]:
    """How the weights follow from the scores of the chosen, and how far they are from it, as a share of the largest.

    They are the scores, or shares of their sum, times one factor; or times one of each token's own.
    """
    taken = scores.gather(1, experts)  # [N,A]
    limit = max(tolerance, _SLACK * torch.finfo(weights.dtype).eps)
    apart = min(_unlike(weights.float(), expected) for expected in (_shares(taken), taken))
    if apart <= limit:
        return _Follows.ALL, apart
    factors = (weights.float() * taken).sum(1, keepdim=True) / taken.square().sum(1, keepdim=True)  # [N,1]
    apart = _unlike(weights.float(), factors * taken)
    if experts.shape[1] > 1 and apart <= limit:
        return _Follows.UP_TO_TOKENS, apart
    return _Follows.CHOICE, torch.inf


def _unlike(weights: torch.Tensor, expected: torch.Tensor) -> float:
    factor = _factor(weights, expected)
    apart = (weights - factor * expected).abs().max() / weights.abs().max()
    return float(apart.nan_to_num(torch.inf))


def _factor(weights: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    return (weights * expected).sum() / (expected * expected).sum()
