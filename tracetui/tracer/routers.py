"""How a router came to its choice: its scores, which no hook sees, told from what went in and what came out.

transformers' routers differ in how they score (softmax, sigmoid), in what is added for the choice alone (a bias), in
which groups of experts may be used, and in how the weights follow. Each combination is tried in turn, and the one whose
choice and weights come nearest to those that really came back is the router's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tracetui.models.deepseek_gate import DeepseekReferenceGate

_BIASES = ("e_score_correction_bias", "expert_bias", "expert_biases", "score_correction_bias")
_GROUPS = ("n_group", "num_group", "n_groups", "num_expert_group")
_GROUPS_USED = ("topk_group", "limited_groups")
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
    """What the choice was made from [N,E]: the bias added, groups that were not used -inf."""
    bias: torch.Tensor | None = None
    """Added for the choice alone [E]."""


def bias_of(module: nn.Module) -> torch.Tensor | None:
    """The selection bias that a module itself holds, as it is now."""
    found = (getattr(module, name, None) for name in _BIASES)
    return next((bias.detach().reshape(-1) for bias in found if isinstance(bias, torch.Tensor)), None)


def explain(seen: Sequence[Seen], config: Any, experts: torch.Tensor, weights: torch.Tensor, count: int) -> Routing:
    """The routing of N tokens among `count` experts, of which `experts` [N,A] were chosen with `weights` [N,A]."""
    bias = next((one.bias for one in seen if one.bias is not None and one.bias.numel() == count), None)
    candidates = [(one.module, logits) for one in seen if (logits := scores_in(one.output, count)) is not None]
    candidates = [(router, logits) for router, logits in candidates if len(logits) == len(experts)]
    for router, logits in candidates:
        if isinstance(router, DeepseekReferenceGate):
            # Our own, which can say it: one choice may follow from several ways.
            scores = router.scores(logits)  # [N,E]
            return Routing(logits, scores, router.selection_scores(scores, bias), bias)
    best, found = torch.inf, Routing(candidates[0][1]) if len(candidates) == 1 else Routing()
    for router, logits in candidates:
        ranks = _ranks(router, config, count)
        for apart, routing in _tried(logits, _biases(bias), tuple(ranks), experts, weights):
            if apart < best:
                best, found = apart, routing
    return found


def _tried(
    logits: torch.Tensor,
    biases: Sequence[torch.Tensor | None],
    ranks: Sequence[Rank],
    experts: torch.Tensor,
    weights: torch.Tensor,
) -> Iterator[tuple[float, Routing]]:
    """Every way from the logits [N,E] to the choice that may be, and how far its weights are from the real ones."""
    wide = logits.float()  # [N,E]
    tolerance = _SLACK * torch.finfo(logits.dtype).eps
    for name, score in _SCORES.items():
        scores = score(wide)  # [N,E]
        apart = _apart(scores, experts, weights, tolerance)
        if apart == torch.inf:
            continue
        for bias, rank in itertools.product(biases, ranks):
            selection = rank(scores if bias is None else scores + bias)  # [N,E]
            if _chosen(selection, experts, tolerance):
                yield apart, Routing(None if name == "given" else logits, scores, selection, bias)


def weights_of(routing: Routing, experts: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """The weights [N,A] that a router would have given to experts `chosen` [N,A] instead of `experts` [N,A].

    They are the scores of the chosen, or their shares, times the factor that made `weights` [N,A]. A token's weights
    stay where its experts do, and all of them where the router's scores aren't known.
    """
    if routing.scores is None:
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


def scores_in(output: object, count: int) -> torch.Tensor | None:
    """The first [N,E] of floats in what a module returned."""
    parts = output if isinstance(output, tuple | list) else (output,)
    for part in parts:
        if isinstance(part, torch.Tensor) and part.is_floating_point() and part.dim() > 1 and part.shape[-1] == count:
            return part.reshape(-1, count)
    return None


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


def _ranks(router: nn.Module, config: Any, count: int) -> Iterator[Rank]:
    """How the choice may have been narrowed: to the groups with the best two experts or the best one; or not at all."""
    groups, used = _number(router, config, _GROUPS), _number(router, config, _GROUPS_USED)
    if groups and used and groups > 1 and count % groups == 0 and used <= groups:
        for best in (2, 1):
            if count // groups >= best:
                yield lambda selection, best=best: _only_groups(selection, groups, used, best)  # type: ignore[misc]
    yield _given


def _number(router: nn.Module, config: Any, names: Sequence[str]) -> int | None:
    said = (getattr(owner, name, None) for owner in (router, config) for name in names)
    return next((value for value in said if isinstance(value, int)), None)


def _only_groups(selection: torch.Tensor, groups: int, used: int, best: int) -> torch.Tensor:
    """The selection scores [N,E] with -inf outside the `used` groups whose `best` experts have the largest sum."""
    grouped = selection.view(len(selection), groups, -1)  # [N,G,E/G]
    ranks = grouped.topk(best, dim=-1).values.sum(dim=-1)  # [N,G]
    kept = torch.zeros_like(ranks, dtype=torch.bool).scatter_(1, ranks.topk(used, dim=-1).indices, True)  # [N,G]
    return grouped.masked_fill(~kept[..., None], -torch.inf).view_as(selection)  # [N,E]


def _chosen(selection: torch.Tensor, experts: torch.Tensor, tolerance: float) -> bool:
    """Whether no expert that was left out has a better score than one that was taken."""
    taken = selection.gather(1, experts)  # [N,A]
    left = selection.scatter(1, experts, -torch.inf)  # [N,E]
    allowed = tolerance * selection.nan_to_num(0.0, 0.0, 0.0).abs().amax(dim=1)  # [N]
    return bool((taken.amin(dim=1) + allowed >= left.amax(dim=1)).all())


def _apart(scores: torch.Tensor, experts: torch.Tensor, weights: torch.Tensor, tolerance: float) -> float:
    """How far the weights are from the scores of the chosen, as they are or as shares of their sum, times one factor.

    As a share of the largest weight; infinite beyond what rounding explains.
    """
    taken = scores.gather(1, experts)  # [N,A]
    shares = _shares(taken)  # [N,A]
    limit = max(tolerance, _SLACK * torch.finfo(weights.dtype).eps)
    apart = min(_unlike(weights.float(), expected) for expected in (shares, taken))
    return apart if apart <= limit else torch.inf


def _unlike(weights: torch.Tensor, expected: torch.Tensor) -> float:
    factor = _factor(weights, expected)
    apart = (weights - factor * expected).abs().max() / weights.abs().max()
    return float(apart.nan_to_num(torch.inf))


def _factor(weights: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    return (weights * expected).sum() / (expected * expected).sum()
