"""Feed-forward blocks: one for all tokens, or experts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.truth.decoder import Decoder, Experts
from tests.truth.dumps import Kept


def mlp(decoder: Decoder, h: Tensor, path: str, kept: Kept) -> Tensor:
    """What one block makes of the normalised stream [B,T,D]."""
    inner = _inner(decoder, h, path, kept)
    made = decoder.projected(inner, f"{path}.down_proj")
    kept.keep(f"{path}.down_proj", made)
    return made


def _inner(decoder: Decoder, h: Tensor, path: str, kept: Kept) -> Tensor:
    """What enters the last projection [B,T,F]."""
    if f"{path}.gate_up_proj.weight" in decoder.weights:
        fused = decoder.projected(h, f"{path}.gate_up_proj")
        kept.keep(f"{path}.gate_up_proj", fused)
        neighbours = decoder.gate_up == "neighbours"
        gate, up = (fused[..., 0::2], fused[..., 1::2]) if neighbours else fused.chunk(2, -1)
        gate, up = (up, gate) if decoder.gate_up == "up, gate" else (gate, up)
    elif f"{path}.gate_proj.weight" not in decoder.weights:
        up = decoder.projected(h, f"{path}.up_proj")
        kept.keep(f"{path}.up_proj", up)
        return decoder.act(up)
    else:
        gate, up = (decoder.projected(h, f"{path}.{name}_proj") for name in ("gate", "up"))
        kept.keep(f"{path}.gate_proj", gate)
        kept.keep(f"{path}.up_proj", up)
    if decoder.up_added:
        return decoder.act(gate) + up
    return decoder.act(up) * gate if decoder.act_on_up else decoder.act(gate) * up


def experts(decoder: Decoder, h: Tensor, layer: int, kept: Kept) -> Tensor:
    """What experts make of the normalised stream [B,T,D]."""
    settings, path = decoder.experts, f"model.layers.{layer}.mlp"
    assert settings is not None
    shared = _shared(decoder, settings, h, path, kept) if settings.shared_first else None
    x = h.view(-1, h.shape[-1])  # [N,D]
    logits = F.linear(x, decoder.weights[f"{path}.gate.weight"])  # [N,E]
    weights, chosen = _routed(settings, logits, decoder.weights.get(f"{path}.gate.e_score_correction_bias"))
    kept.keep(f"{path}.gate", logits)
    kept.keep(f"{path}.gate#1", weights)
    kept.keep(f"{path}.gate#2", chosen)
    both, down = (decoder.weights[f"{path}.experts.{name}_proj"] for name in ("gate_up", "down"))  # [E,2F,D] [E,D,F]
    made = torch.zeros_like(x)
    for place in range(settings.count):
        expert = (chosen[:, place] + settings.rotated) % len(both)
        gate, up = torch.einsum("nd,nfd->nf", x, both[expert]).chunk(2, -1)
        inner = decoder.act(gate) * up
        made += weights[:, place, None] * torch.einsum("nf,ndf->nd", inner, down[expert])
    kept.keep(f"{path}.experts", made)
    shared = _shared(decoder, settings, h, path, kept) if shared is None else shared
    return made.view(h.shape) + shared


def _routed(settings: Experts, logits: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Each token's weights [N,A] and experts [N,A]."""
    scores = logits.sigmoid() if settings.scoring == "sigmoid" else logits.softmax(-1)  # [N,E]
    selection = scores if bias is None or not settings.bias else scores + bias
    biased = selection
    if settings.groups > 1:
        grouped = selection.view(len(selection), settings.groups, -1)  # [N,g,E/g]
        best = grouped.topk(settings.best_of_group, -1)[0].sum(-1)
        used = torch.zeros_like(best).scatter(1, best.topk(settings.groups_used, -1)[1], 1.0)
        selection = grouped.masked_fill(used[..., None] == 0, -torch.inf).flatten(1)
    chosen = selection.topk(settings.count, -1, largest=not settings.worst)[1]  # [N,A]
    weights = (biased if settings.biased_weights else scores).gather(1, chosen)
    weights = logits.gather(1, chosen).softmax(-1) if settings.scoring == "chosen" else weights
    if settings.normalised:
        weights = weights / weights.sum(-1, keepdim=True)
    weights = torch.full_like(weights, 1 / settings.count) if settings.same_weights else weights
    return weights * settings.scaling, chosen


def _shared(decoder: Decoder, settings: Experts, h: Tensor, path: str, kept: Kept) -> Tensor:
    """What the expert adds that sees all tokens."""
    if not settings.shared:
        return torch.zeros_like(h)
    own = f"{path}.{settings.shared}"
    x = h if settings.shared == "shared_experts" else h.view(-1, h.shape[-1])
    made = mlp(decoder, x, own, kept)
    kept.keep(own, made)
    gate = f"{own}_gate.weight"
    if gate in decoder.weights and settings.shared_gated:
        logit = F.linear(x, decoder.weights[gate])
        kept.keep(f"{own}_gate", logit)
        made = logit.sigmoid() * made
    return made.view(h.shape)
