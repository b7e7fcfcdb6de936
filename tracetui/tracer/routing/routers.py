"""How a router came to its choice: its scores, which no hook sees, told from what went in and what came out.

transformers' routers differ in how they score (softmax, sigmoid), in what is added for the choice alone (a bias), in
which groups of experts may be used, and in how the weights follow. Each combination is tried in turn, and the one whose
choice and weights come nearest to those that really came back is the router's. Where only the choice follows, or only
the weights do, the scores are given as far as they are the only ones that explain it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from tracetui.models.deepseek_gate import DeepseekReferenceGate
from tracetui.models.ranks.local import is_all_here, local_tensor
from tracetui.tracer.routing.groups import Rank, as_it_is, ranks_of
from tracetui.tracer.routing.weights import SLACK, Follows, weighed_by

Score = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False, slots=True)
class Seen:
    """What a module beside the experts returned, and the bias it holds for the choice [E], if any."""

    module: nn.Module
    output: object
    bias: torch.Tensor | None


@dataclass(frozen=True, eq=False, slots=True)
class RouterValues:
    """A choice explained as far as it could be: None for what it couldn't."""

    logits: torch.Tensor | None = None
    """The router's raw output [N,E]."""
    scores: torch.Tensor | None = None
    """After softmax or sigmoid [N,E]."""
    selection: torch.Tensor | None = None
    """The scores of the choice [N,E]: with the bias, and -inf (in a few routers 0) for groups that were left out."""
    bias: torch.Tensor | None = None
    """Added for the choice alone [E]."""
    classes: torch.Tensor | None = None
    """The choice [N,A] if there are more classes than experts (those after the last expert mean none); else None."""
    weighed: bool = False
    """Whether the weights follow from the scores, as they are or as shares of their sum, times one factor."""

    @property
    def made_from(self) -> dict[str, torch.Tensor]:
        """What is known of how the choice came about, by the roles under which it is recorded."""
        every = {
            "router_logits": self.logits,
            "router_scores": self.scores,
            "selection_scores": self.selection,
            "selection_bias": self.bias,
        }
        return {role: tensor for role, tensor in every.items() if tensor is not None}

    def roles(self, experts: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """The same with the choice [N,A] and its weights [N,A], which no edit changes."""
        shown = experts if self.classes is None else self.classes  # [N,A]
        return self.made_from | {"experts": shown, "routing_weights": weights}


@dataclass(frozen=True, eq=False, slots=True)
class _Explained:
    """A router's way that may be."""

    follows: Follows
    apart: float
    """How far its weights are from the real ones."""
    score: str
    routing: RouterValues
    plain: bool = True
    """Whether nothing but the order of the scores decides."""


def bias_of(module: nn.Module) -> torch.Tensor | None:
    """The selection bias that a module itself holds, as it is now: a number for each expert, beside its own `bias`."""
    own = (*module._parameters.items(), *module._buffers.items())
    found = (tensor for name, tensor in own if name != "bias" and "bias" in name and tensor is not None)
    whole = (local_tensor(bias) for bias in found if bias.numel() > 1 and is_all_here(bias))
    return next((bias.detach().reshape(-1) for bias in whole), None)


def explain(
    seen: Sequence[Seen], config: Any, experts: torch.Tensor, weights: torch.Tensor, count: int
) -> RouterValues:
    """The routing of N tokens among `count` experts, of which `experts` [N,A] were chosen with `weights` [N,A]."""
    candidates = _candidates(seen, count, len(experts))
    for router, logits in candidates:
        if isinstance(router, DeepseekReferenceGate):
            # Our own, which can say it: one choice may follow from several ways.
            scores = router.scores(logits)  # [N,E]
            bias = _bias(seen, count)
            return RouterValues(logits, scores, router.selection_scores(scores, bias), bias, weighed=True)
    found = _best(candidates, _bias(seen, count), config, experts, weights, count)
    if found is None and not candidates:
        return _with_more_classes(seen, config, experts, weights, count)
    if found is not None:
        return found
    routers = _outermost(candidates)
    return RouterValues(routers[0][1]) if len(routers) == 1 else RouterValues()


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
) -> RouterValues | None:
    """The way that explains most, the closest one if several do; None if none explains anything."""
    ways: list[_Explained] = []
    for router, logits in candidates:
        ranks = tuple(ranks_of(router, config, count, biased=bias is not None))
        for way in _tried(logits, _biases(bias), ranks, experts, weights):
            if way.follows is Follows.ALL and way.score != "given" and not way.apart:
                # None can be better, and of those that are as good the first counts.
                return way.routing
            ways.append(_with_scores_given(way, router, logits, candidates) if way.score == "given" else way)
    # The order of scores is the same whatever function they are of the logits; with a bias or groups it is not.
    chosen = [way for way in ways if way.follows is Follows.CHOICE and not way.plain]
    if len({way.score for way in chosen}) > 1:
        chosen = []
    known = [*(way for way in ways if way.follows is not Follows.CHOICE), *chosen]
    nearest = min(known, key=lambda way: (way.follows, way.score == "given", way.apart), default=None)
    return None if nearest is None else nearest.routing


def _with_scores_given(way: _Explained, router: nn.Module, output: torch.Tensor, candidates: _Candidates) -> _Explained:
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
    tolerance = SLACK * torch.finfo(logits.dtype).eps
    for name, score in _SCORES.items():
        scores = score(wide)  # [N,E]
        follows, apart = weighed_by(scores, experts, weights, tolerance)
        known = RouterValues(logits, scores, weighed=follows is Follows.ALL)
        chosen = False
        for bias, rank, base in _selections(biases, ranks, scores, wide):
            selection = rank(base if bias is None else base + bias)  # [N,E]
            if _chosen(selection, experts, tolerance):
                chosen, plain = True, bias is None and rank is as_it_is
                yield _Explained(follows, apart, name, replace(known, selection=selection, bias=bias), plain)
        if not chosen and follows is Follows.ALL and experts.shape[1] > 1:
            yield _Explained(Follows.WEIGHTS, apart, name, known)


def _selections(
    biases: Sequence[torch.Tensor | None], ranks: Sequence[Rank], scores: torch.Tensor, logits: torch.Tensor
) -> Iterator[tuple[torch.Tensor | None, Rank, torch.Tensor]]:
    """What may decide, the likeliest first: a bias is added to the scores, rarely to the logits."""
    for bias in biases:
        for rank in ranks:
            yield bias, rank, scores
        if bias is not None:
            yield bias, as_it_is, logits


def _with_more_classes(
    seen: Sequence[Seen], config: Any, experts: torch.Tensor, weights: torch.Tensor, count: int
) -> RouterValues:
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
    return RouterValues()


def _wider(output: object, count: int, rows: int) -> Iterator[torch.Tensor]:
    """The [N,C] of floats in what a module returned that have a few more classes than there are experts."""
    for part in output if isinstance(output, tuple | list) else (output,):
        wide = isinstance(part, torch.Tensor) and part.is_floating_point() and part.dim() == 2 and len(part) == rows
        if wide and count < part.shape[1] < 2 * count:
            yield part


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


_SCORES: dict[str, Score] = {
    "softmax": lambda logits: logits.softmax(dim=-1),
    "sigmoid": torch.sigmoid,
    "sqrt softplus": lambda logits: torch.nn.functional.softplus(logits).sqrt(),
    "given": as_it_is,
}


def _biases(bias: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
    return (None,) if bias is None else (bias.float(), None)


def _chosen(selection: torch.Tensor, experts: torch.Tensor, tolerance: float) -> bool:
    """Whether no expert that was left out has a better score than one that was taken."""
    taken = selection.gather(1, experts)  # [N,A]
    left = selection.scatter(1, experts, -torch.inf)  # [N,E]
    allowed = tolerance * selection.nan_to_num(0.0, 0.0, 0.0).abs().amax(dim=1)  # [N]
    return bool((taken.amin(dim=1) + allowed >= left.amax(dim=1)).all())
