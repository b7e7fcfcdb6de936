"""Multi-head latent attention as a module tree shows it: keys and values of all heads are made from one latent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from tracetui.models.ranks.local import local_tensor

PROJECTION = "kv_b_proj"
"""The child that expands the latent [B,S,R] to every head's key part and value [B,S,H·(nope+v)]."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """How `kv_b_proj`'s rows divide: for each head `nope` of the key without position, then `value` of the value."""

    heads: int
    nope: int
    value: int
    rank: int
    """R, the width of the latent."""


def expansion_of(module: nn.Module) -> Expansion | None:
    """How an attention module expands its latent; None where it has none."""
    projection = module._modules.get(PROJECTION)
    if not isinstance(projection, nn.Linear):
        return None
    nope, value = getattr(module, "qk_nope_head_dim", None), getattr(module, "v_head_dim", None)
    if not isinstance(nope, int) or not isinstance(value, int):
        return None
    rows, rank = _local_rows(projection.weight, nope + value), projection.weight.shape[1]
    if rows % (nope + value):
        return None
    return Expansion(rows // (nope + value), nope, value, rank)


def _local_rows(weight: torch.Tensor, each: int) -> int:
    """Those of whole heads, of `each` rows, that lie here; all where what lies here is put together for each call."""
    rows = local_tensor(weight).shape[0]
    return weight.shape[0] if rows % each else rows
