"""Attention within chunks of positions and those around them, as whole matrices.

Reformer's local attention multiplies each chunk of queries with the keys of its own chunk and of some before and after
it, which wrap around at the ends; what lies outside isn't computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from tracetui.tracer.attention.own_matrices import OwnMatrices


@dataclass(frozen=True, eq=False, slots=True)
class Chunks:
    """Products of chunks [B,H,N,C,C'], of N chunks of C positions, and what was made of them."""

    query: torch.Tensor
    """[B,H,N,C,K]"""
    key: torch.Tensor
    """[B,H,N,C',K]"""
    before: int
    """How many chunks before a query's own its keys begin."""
    weighed: torch.Tensor | None = None
    """What the exponential was taken of; None before it."""

    @property
    def whole_query(self) -> torch.Tensor:
        """[B,H,T,K]"""
        return self.query.flatten(2, 3)

    def own_part(self, tensor: torch.Tensor) -> torch.Tensor:
        """Keys or values [B,H,N,C',K] of each chunk's own positions, in a row [B,H,T,K]."""
        size = self.query.shape[3]
        return tensor[:, :, :, self.before * size :][:, :, :, :size].flatten(2, 3)

    def whole(self, parts: torch.Tensor, outside: float) -> torch.Tensor:
        """[B,H,T,T] of the chunks' [B,H,N,C,C'], with a number where nothing was computed."""
        batch, heads, count, size, wide = parts.shape
        found = parts.new_full((batch, heads, count, size, count, size), outside)
        for chunk in range(count):
            for place in range(wide // size):
                other = (chunk - self.before + place) % count
                found[:, :, chunk, :, other] = parts[:, :, chunk, :, place * size : (place + 1) * size]
        return found.reshape(batch, heads, count * size, count * size)

    def matrices(self, probabilities: torch.Tensor) -> OwnMatrices:
        """Of the probabilities of chunks [B,H,N,C,C']."""
        assert self.weighed is not None
        masked, whole = self.whole(self.weighed, -torch.inf), self.whole(probabilities, 0.0)
        return OwnMatrices(None, masked, whole, needed=True, in_steps=False)


def chunks_of(module: nn.Module, query: Any, key: Any) -> Chunks | None:
    """What begins with the product of two tensors, query·key, in a module that has its positions in chunks."""
    before, after = (getattr(module, f"num_chunks_{side}", None) for side in ("before", "after"))
    if not isinstance(before, int) or not isinstance(after, int) or not all(map(_in_chunks, (query, key))):
        return None
    count, size = query.shape[2:4]
    # Two chunks that come to the same place would count twice there.
    fits = key.shape[4] == (before + 1 + after) * size and before + 1 + after <= count
    return Chunks(query, key.transpose(-1, -2), before) if fits else None


def followed(chunks: Chunks, name: str, given: torch.Tensor, result: torch.Tensor) -> Chunks | None:
    """What a tensor is that was made of them; None where it isn't of their shape."""
    if result.shape != given.shape:
        return None
    if name == "exp" and chunks.weighed is None:
        return replace(chunks, weighed=given)
    return chunks


def _in_chunks(tensor: Any) -> bool:
    return isinstance(tensor, torch.Tensor) and tensor.dim() == 5 and tensor.is_floating_point()
