"""How the weights of chosen experts follow from a router's scores: these as they are or as shares, times a factor."""

from __future__ import annotations

from enum import IntEnum

import torch

SLACK = 4
"""Rounding steps of the router's dtype by which a recomputed value may differ."""


class Follows(IntEnum):
    """How much of a choice and its weights follows from scores; the least is best."""

    ALL = 0
    UP_TO_TOKENS = 1
    """The weights follow up to one factor per token: a shared expert may have had its part in the sum."""
    CHOICE = 2
    """The choice follows, the weights don't."""
    WEIGHTS = 3
    """The weights follow, the choice doesn't: it was made from something else, such as the token's id."""


def weighed_by(
    scores: torch.Tensor, experts: torch.Tensor, weights: torch.Tensor, tolerance: float
) -> tuple[Follows, float]:
    """How the weights follow from the scores of the chosen, and how far they are from it, as a share of the largest.

    They are the scores, or shares of their sum, times one factor; or times one of each token's own.
    """
    taken = scores.gather(1, experts)  # [N,A]
    limit = max(tolerance, SLACK * torch.finfo(weights.dtype).eps)
    apart = min(_unlike(weights.float(), expected) for expected in (_shares(taken), taken))
    if apart <= limit:
        return Follows.ALL, apart
    factors = (weights.float() * taken).sum(1, keepdim=True) / taken.square().sum(1, keepdim=True)  # [N,1]
    apart = _unlike(weights.float(), factors * taken)
    if experts.shape[1] > 1 and apart <= limit:
        return Follows.UP_TO_TOKENS, apart
    return Follows.CHOICE, torch.inf


def _unlike(weights: torch.Tensor, expected: torch.Tensor) -> float:
    factor = _factor(weights, expected)
    apart = (weights - factor * expected).abs().max() / weights.abs().max()
    return float(apart.nan_to_num(torch.inf))


def _factor(weights: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    return (weights * expected).sum() / (expected * expected).sum()


def weights_of(
    scores: torch.Tensor | None, experts: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor
) -> torch.Tensor:
    """The weights [N,A] that a router would have given to experts `chosen` [N,A] instead of `experts` [N,A].

    They are the scores of the chosen, or their shares, times the factor that made `weights` [N,A]. A token's weights
    stay where its experts do, and all of them without scores [N,E] that make them.
    """
    if scores is None:
        return weights
    taken, others = (scores.double().gather(1, each) for each in (experts, chosen))  # [N,A]
    ways = ((taken, others), (_shares(taken), _shares(others)))
    expected, made = min(ways, key=lambda way: _unlike(weights.double(), way[0]))  # [N,A]
    factor = _factor(weights.double(), expected)
    stays = (experts == chosen).all(dim=1, keepdim=True)  # [N,1]
    return torch.where(stays, weights, (factor * made).to(weights.dtype))


def _shares(taken: torch.Tensor) -> torch.Tensor:
    return taken / taken.sum(dim=1, keepdim=True)
