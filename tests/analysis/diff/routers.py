"""A router of one's own, in the place of transformers', with whatever a port may get wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from tests.analysis.diff.plants import Plant

_SCORES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(-1),
    "sigmoid": torch.sigmoid,
    "twice": lambda logits: logits.softmax(-1).softmax(-1),
    "logits": lambda logits: logits,
}


@dataclass(frozen=True)
class Way:
    """How a router chooses and weighs; as DeepSeek-V3's does if nothing else is said."""

    score: str = "sigmoid"
    bias: float = 1.0
    groups: int = 2
    """How many of DeepSeek's four are used; 4 for all."""
    best: int = 2
    normalised: bool = True
    added: float = 0.0
    factor: float = 2.5
    weights: str = ""
    """What the weights are made of, if not of the scores: `logits`, or `selection` for scores and bias."""
    skipped: int = 0
    more: int = 0
    shift: int = 0
    turned: bool = False
    random: bool = False
    coarse: bool = False


MIXTRAL = Way("softmax", bias=0, groups=4, factor=1.0)


class Router(nn.Module):
    e_score_correction_bias: torch.Tensor

    def __init__(self, stock: Any, way: Way) -> None:
        super().__init__()
        self.weight, self.top_k, self.way = stock.weight, stock.top_k, way
        bias = getattr(stock, "e_score_correction_bias", None)
        self.register_buffer("e_score_correction_bias", bias if way.bias else None)

    def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        way, hidden = self.way, hidden.reshape(-1, hidden.shape[-1])
        logits = nn.functional.linear(hidden, self.weight)  # [N,E]
        logits = nn.functional.linear(hidden.bfloat16(), self.weight.bfloat16()).float() if way.coarse else logits
        scores = _SCORES[way.score](logits)  # [N,E]
        selection = self._selection(scores)
        experts = selection.topk(self.top_k + way.skipped + way.more, -1).indices[:, way.skipped :]  # [N,A]
        made = {"": scores, "logits": logits, "selection": selection}[way.weights]
        weights = made.gather(1, experts)  # [N,A]
        if way.normalised:
            weights = weights / (weights.sum(-1, keepdim=True) + way.added)
        weights = weights.flip(-1) if way.turned else weights
        return logits, weights * way.factor, (experts + way.shift) % logits.shape[-1]

    def _selection(self, scores: torch.Tensor) -> torch.Tensor:
        if self.way.random:
            return torch.rand(scores.shape, generator=torch.Generator().manual_seed(1))
        selection = scores if not self.way.bias else scores + self.way.bias * self.e_score_correction_bias
        if self.way.groups == 4:
            return selection
        grouped = selection.view(len(selection), 4, -1)  # [N,G,E/G]
        ranks = grouped.topk(self.way.best, -1).values.sum(-1)  # [N,G]
        kept = torch.zeros_like(ranks, dtype=torch.bool).scatter_(1, ranks.topk(self.way.groups, -1).indices, True)
        return grouped.masked_fill(~kept[..., None], -torch.inf).view_as(selection)


def routing(way: Way) -> Plant:
    """A router of that way in every layer that has experts."""

    def plant(model: Any, patch: pytest.MonkeyPatch) -> None:
        for layer in model.model.layers:
            if hasattr(layer.mlp, "experts"):
                layer.mlp.gate = Router(layer.mlp.gate, way)

    return plant
