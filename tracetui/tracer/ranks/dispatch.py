"""The experts of a layer on several ranks: the choice among all of them, and what of it is for those that are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tracetui.models.ranks.cuts import ExpertCuts
from tracetui.models.ranks.local import local_tensor
from tracetui.models.weights.experts import CHOICE

_NO_CUTS = ExpertCuts()
_ARGUMENTS = ("hidden_states", *CHOICE)
"""Of the forward by which transformers hands tokens on to the experts of all ranks."""


@dataclass(eq=False)
class Dispatch:
    """Of one call; where all experts are here, all of it is as it was."""

    cuts: ExpertCuts = _NO_CUTS
    experts: torch.Tensor | None = None
    """The choice [N,A] among the experts of all ranks."""
    weights: torch.Tensor | None = None
    """Its weights [N,A]."""
    stood_for_none: bool = False
    """Whether the expert that ran last was given a row in place of no tokens at all."""

    @classmethod
    def of(cls, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], cuts: ExpertCuts) -> Dispatch:
        """Of a call with these arguments."""
        given = {**dict(zip(_ARGUMENTS, args, strict=False)), **kwargs}
        experts, weights = (given.get(name) for name in CHOICE)
        if isinstance(experts, torch.Tensor) and isinstance(weights, torch.Tensor):
            return cls(cuts, local_tensor(experts), local_tensor(weights))
        return cls(cuts)

    @property
    def first(self) -> int:
        """The number of the first expert that is here."""
        return self.cuts.first

    @property
    def is_whole(self) -> bool:
        """Whether the choice among all experts is known."""
        return self.experts is not None

    def whole(self, experts: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The choice among all experts [N,A] and its weights [N,A], for what is given to those that are here."""
        if self.experts is None or self.weights is None:
            return experts, weights
        return self.experts, self.weights

    def mixes_ranks(self, experts: torch.Tensor) -> bool:
        """Whether what is given to those that are here are other tokens than this rank's own."""
        return self.experts is not None and experts.shape != self.experts.shape

    def local(self, experts: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What of a choice is for the experts that are here: their own numbers, and weights of 0 for the others."""
        if self.experts is None:
            return experts, weights
        numbers = experts - self.cuts.first  # [N,A]
        elsewhere = (numbers < 0) | (numbers >= self.cuts.here)  # [N,A]
        return numbers.masked_fill(elsewhere, self.cuts.here), weights.masked_fill(elsewhere, 0.0)

    def stands_for_none(self, expert: int, inputs: torch.Tensor) -> bool:
        """Whether an expert's tokens [n,D] are none: a rank that was sent no token runs a row of zeros."""
        lone = self.is_whole and expert == 0 and len(inputs) == 1 and self.experts is not None and len(self.experts) > 1
        self.stood_for_none = lone and not bool(inputs.any())
        return self.stood_for_none
