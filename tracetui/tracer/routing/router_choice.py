"""The choice of a router whose experts are handed something else: told from what it returns, and checked against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

_CLOSE = 1e-3
"""By how much values that are computed again may be off, relative: the router may work in a coarser dtype."""

Choice = tuple[torch.Tensor, torch.Tensor]
"""The experts [N,A] that tokens chose, and their weights [N,A]."""


def choice_of(output: object, chosen: int, count: int) -> Choice | None:
    """What a router that chooses so many of `count` experts chose, by what it returned; None if that doesn't tell."""
    parts = output if isinstance(output, tuple | list) else (output,)
    tensors = [part for part in parts if isinstance(part, torch.Tensor)]
    wide = [part for part in tensors if part.is_floating_point() and part.dim() == 2 and part.shape[1] == count]
    for logits in wide:
        found = _handed(tensors, logits, chosen) or _kept_alone(wide, logits, chosen) or _sorted(parts, logits, chosen)
        if found is not None:
            return found
    return None


def _handed(tensors: Sequence[torch.Tensor], logits: torch.Tensor, chosen: int) -> Choice | None:
    """Numbers of experts and weights as they are."""
    shape = (len(logits), chosen)
    experts = [part for part in tensors if part.shape == shape and not part.is_floating_point()]
    weights = [part for part in tensors if part.shape == shape and part.is_floating_point() and part is not logits]
    if len(experts) != 1 or len(weights) != 1 or bool((experts[0] < 0).any() | (experts[0] >= logits.shape[1]).any()):
        return None
    return experts[0], weights[0]


def _kept_alone(wide: Sequence[torch.Tensor], logits: torch.Tensor, chosen: int) -> Choice | None:
    """Weights [N,E] that are 0 for all but the experts with the best logits."""
    experts = logits.topk(chosen, dim=1).indices  # [N,A]
    for weights in wide:
        taken = weights.gather(1, experts)  # [N,A]
        if weights is not logits and bool((weights.scatter(1, experts, 0) == 0).all()) and bool((taken != 0).any()):
            return experts, taken
    return None


def _sorted(parts: Sequence[object], logits: torch.Tensor, chosen: int) -> Choice | None:
    """Weights [N·A] that stand in the order of the experts: the softmax over those with the best logits."""
    best = logits.topk(chosen, dim=1)
    experts, weights = best.indices, best.values.softmax(dim=1)  # [N,A] [N,A]
    order = experts.flatten().sort(stable=True).indices  # [N·A]
    expected = weights.flatten()[order]  # [N·A]
    counts = torch.bincount(experts.flatten(), minlength=logits.shape[1]).tolist()
    lists = [part for part in parts if isinstance(part, list)]
    for part in _flat(parts, experts.numel()):
        alike = torch.allclose(part.float().sort().values, expected.float().sort().values, rtol=_CLOSE, atol=_CLOSE)
        if alike and all(found == counts for found in lists):
            return experts, weights.to(part.dtype)
    return None


def _flat(parts: Sequence[object], length: int) -> Iterator[torch.Tensor]:
    for part in parts:
        if isinstance(part, torch.Tensor) and part.is_floating_point() and part.shape == (length,):
            yield part
