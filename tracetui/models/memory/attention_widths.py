"""How wide the tensors of one attention are, all heads together, read off its own projections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from tracetui.models.latent import expansion_of

_SEPARATE = 3
"""Projections of attention whose output projection stands elsewhere: of query, key and value."""


@dataclass(frozen=True, slots=True)
class AttentionWidths:
    """Elements per token that lie nowhere else: values, and what the output projection is given, are views."""

    query: int
    """Of the rotated query."""
    key: int
    mixed: int
    """Of what the heads return."""
    made: int
    """Of what the projections make of the residual stream."""
    absorbed: int = 0
    """Of latent attention's query once more, as wide as the latent for each head."""

    @property
    def roles(self) -> int:
        return self.query + self.key + self.mixed + self.absorbed

    @property
    def alive(self) -> int:
        """Of what is there when the kernel runs."""
        return self.made + self.query + self.key + self.absorbed


NOTHING = AttentionWidths(0, 0, 0, 0)


def is_attention(module: nn.Module) -> bool:
    return "Attention" in type(module).__name__


def attention_widths(module: nn.Module) -> AttentionWidths:
    """What the kernel of an attention module is given and returns; all 0 for other modules."""
    if latent := expansion_of(module):
        key = latent.heads * (latent.nope + getattr(module, "qk_rope_head_dim", 0))
        made = key + latent.heads * (latent.nope + latent.value)
        return AttentionWidths(key, key, latent.heads * latent.value, made, latent.heads * latent.rank)
    matrices = list(_matrices(module)) if is_attention(module) else []
    if not matrices:
        return NOTHING
    returned = [out for _, out in matrices]
    if len(matrices) in (1, _SEPARATE):
        # No output projection: what the heads return is as wide as the widest, the query.
        return AttentionWidths(max(returned), min(returned), max(returned), sum(returned))
    mixed, made = matrices[-1][0], sum(returned[:-1])
    return AttentionWidths(mixed, max(0, made - mixed) // 2, mixed, made)


def alive_width(model: nn.Module) -> int:
    """Elements per token that the layer with the widest attention holds while its kernel runs."""
    return max((attention_widths(module).alive for module in model.modules()), default=0)


def absorbing_elements(model: nn.Module) -> int:
    """Elements of the weight that a latent attention's query is multiplied by, read once more, and of its key part."""
    latents = (expansion_of(module) for module in model.modules())
    return max((each.heads * (2 * each.nope + each.value) * each.rank for each in latents if each), default=0)


def read_widths(module: nn.Module) -> set[int]:
    """The widths of what a module's own projections are given."""
    return {read for read, _ in _matrices(module)}


def _matrices(module: nn.Module) -> Iterator[tuple[int, int]]:
    """What each of a module's own projections is given and returns, in their order."""
    for child in module.children():
        made = getattr(child, "nf", None)
        weight = getattr(child, "weight", None)
        if weight is None or weight.dim() != 2 or isinstance(child, nn.Embedding):
            continue
        rows, columns = weight.shape
        # transformers' Conv1D, whose weight lies the other way round.
        yield (rows, columns) if isinstance(made, int) else (columns, rows)
