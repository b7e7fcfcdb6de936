"""Multi-head latent attention as a module tree shows it: keys and values of all heads are made from one latent."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

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
    rows, rank = projection.weight.shape
    if not isinstance(nope, int) or not isinstance(value, int) or rows % (nope + value):
        return None
    return Expansion(rows // (nope + value), nope, value, rank)
