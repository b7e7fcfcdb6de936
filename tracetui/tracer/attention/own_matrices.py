"""The matrices of an attention call as the module itself made them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False, slots=True)
class OwnMatrices:
    """Masked scores and probabilities [B,H,T,S]."""

    scores: Callable[[], torch.Tensor] | None
    """Computes the scores before the mask [B,H,T,S]; None where it isn't known what the module made of them."""
    masked: torch.Tensor
    probabilities: torch.Tensor
    needed: bool
    """Whether something was done on the way that q, k and the mask don't tell of."""
    in_steps: bool = True
    """Whether the module can go on with what edits leave of them."""
