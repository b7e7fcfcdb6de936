"""The router of DeepSeek's reference inference code, where transformers' own computes something else.

transformers' DeepSeek-V3 always takes the sigmoid, has a selection bias and ranks groups by the sum of their best two.
The reference code has the bias at one width only; without it groups are ranked by their best score. Its scores may
be a softmax's, whose weights are not normalised.

Source of the formulas: that code's Gate. Scores are computed in float32, as transformers does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_BIASED = "noaux_tc"


class DeepseekReferenceGate(nn.Module):
    """Chooses each token's experts; in the place, and with the attributes, of transformers' router."""

    e_score_correction_bias: torch.Tensor | None

    def __init__(self, stock: Any, scoring: str, biased: bool) -> None:
        """A gate with the sizes and the weight of transformers' own `stock`."""
        super().__init__()
        self.top_k: int = stock.top_k
        self.num_experts: int = stock.num_experts
        self.hidden_dim: int = stock.hidden_dim
        self.routed_scaling_factor: float = stock.routed_scaling_factor
        self.num_group: int = stock.num_group
        self.topk_group: int = stock.topk_group
        self.norm_topk_prob: bool = stock.norm_topk_prob
        self.scoring = scoring
        self.weight: nn.Parameter = stock.weight
        self.register_buffer("e_score_correction_bias", stock.e_score_correction_bias if biased else None)

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits [N,E], weights [N,A] and the experts chosen [N,A] for hidden_states [B,T,D]."""
        tokens = hidden_states.view(-1, self.hidden_dim)  # [N,D]
        logits = F.linear(tokens.float(), self.weight.float())  # [N,E]
        scores = self.scores(logits)  # [N,E]
        experts = self.selection_scores(scores, self.e_score_correction_bias).topk(self.top_k, dim=-1).indices  # [N,A]
        weights = scores.gather(1, experts)  # [N,A]
        if self.norm_topk_prob:
            weights = weights / weights.sum(dim=-1, keepdim=True)  # [N,A]
        return logits, weights * self.routed_scaling_factor, experts

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """What the weights are made of [N,E]."""
        return logits.softmax(dim=-1) if self.scoring == "softmax" else logits.sigmoid()

    def selection_scores(self, scores: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """What the choice is made from [N,E]: the bias [E] added, groups that are not used -inf.

        The bias is given, since its own place is empty between runs.
        """
        chosen_by = scores if bias is None else scores + bias  # [N,E]
        if self.num_group == 1:
            return chosen_by
        grouped = chosen_by.view(len(scores), self.num_group, -1)  # [N,groups,E/groups]
        ranks = grouped.amax(dim=-1) if bias is None else grouped.topk(2, dim=-1).values.sum(dim=-1)  # [N,groups]
        used = ranks.topk(self.topk_group, dim=-1).indices  # [N,used]
        unused = torch.ones_like(ranks, dtype=torch.bool).scatter(1, used, False)  # [N,groups]
        return grouped.masked_fill(unused.unsqueeze(-1), -torch.inf).flatten(1)  # [N,E]


def put_reference_gates(model: PreTrainedModel) -> None:
    """Have a model of the reference layout route as that code does, by transformers' router where that is the same."""
    biased, scoring = model.config.topk_method == _BIASED, model.config.scoring_func
    if biased and scoring == "sigmoid":
        return
    for layer in model.model.layers:
        if hasattr(layer.mlp, "gate"):
            layer.mlp.gate = DeepseekReferenceGate(layer.mlp.gate, scoring, biased)
