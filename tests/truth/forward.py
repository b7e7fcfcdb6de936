"""One pass of a decoder, and what a script would have kept of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.truth.decoder import Cached, Decoder
from tests.truth.dumps import Kept
from tests.truth.feed_forward import experts, mlp
from tests.truth.heads import heads_of, rope_of, turned
from tracetui.recording.value import Array

_ATTENTION = "self_attn"


def dump(decoder: Decoder, ids: list[int], kind: str) -> dict[str, Array]:
    """What a script keeps of a decoder's pass over one prompt."""
    return _pass(decoder, torch.tensor([ids]), kind, None)


def dump_passes(decoder: Decoder, ids: list[int], kind: str, prompt: int) -> dict[str, Array]:
    """The same of a pass over the prompt and one for each token behind it, `@1` and so on behind their names."""
    cache = Cache(decoder.cached)
    arrays = _pass(decoder, torch.tensor([ids[:prompt]]), kind, cache)
    for pass_, at in enumerate(range(prompt, len(ids)), 1):
        place = 0 if decoder.cached.restarts else at
        moved = replace(decoder, rope=replace(decoder.rope, offset=decoder.rope.offset + place))
        later = _pass(moved, torch.tensor([[ids[at]]]), kind, cache)
        arrays |= {f"{name}@{pass_}": array for name, array in later.items()}
    return arrays


@dataclass(eq=False)
class Cache:
    """Keys and values of the passes so far, layer by layer."""

    settings: Cached
    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def extended(self, layer: int, new: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Keys and values [B,H,S,K] that a layer sees, by those of its own positions."""
        before = self.layers.get(layer)
        if before is None:
            self.layers[layer] = new
            return new
        if self.settings.over_last:
            before = (before[0][:, :, :-1], before[1][:, :, :-1])
        own = (torch.cat([before[0], new[0]], 2), torch.cat([before[1], new[1]], 2))
        self.layers[layer] = own
        if not self.settings.keeps:
            return new
        if self.settings.of_layer_before and layer:
            keys, values = self.layers[layer - 1]
            return torch.cat([keys[:, :, :-1], new[0]], 2), torch.cat([values[:, :, :-1], new[1]], 2)
        return own


@torch.no_grad()
def _pass(decoder: Decoder, ids: Tensor, kind: str, cache: Cache | None) -> dict[str, Array]:
    """What is kept of one pass over tokens [B,T]."""
    kept = Kept(kind, decoder.name)
    x = F.embedding(ids, decoder.weights["model.embed_tokens.weight"])  # [B,T,D]
    scaled = x * decoder.embed_scale
    kept.keep("model.embed_tokens", scaled if decoder.scale_recorded else x)
    x = scaled
    for place, layer in enumerate(decoder.order or range(decoder.layers)):
        x = _layer(decoder, x, layer, kept.renumbered(layer, place), cache)
    if "model.norm" not in decoder.without:
        x = decoder.normed(x, "model.norm")
        kept.keep("model.norm", x)
    head = decoder.head or ("lm_head" if "lm_head.weight" in decoder.weights else "model.embed_tokens")
    logits = decoder.projected(x, head)  # [B,T,V]
    kept.keep("lm_head", logits)
    logits = logits * decoder.logit_scale
    cap = decoder.logit_softcap
    kept.keep("logits", torch.tanh(logits / cap) * cap if cap else logits)
    return kept.arrays


def _layer(decoder: Decoder, x: Tensor, layer: int, kept: Kept, cache: Cache | None) -> Tensor:
    path = f"model.layers.{layer}"

    def normed(value: Tensor, name: str) -> Tensor:
        made = decoder.normed(value, f"{path}.{name}")
        if name not in decoder.without:
            kept.keep(f"{path}.{name}", made)
        return made

    h = normed(x, "input_layernorm")
    made = _attended(decoder, h, layer, kept, cache)
    kept.keep(f"{path}.{_ATTENTION}", made)
    made = normed(made, decoder.after_attention) if decoder.after_attention and not decoder.norms_of_sums else made
    before, x = x, (h if decoder.residual_of_norm else x) + made * decoder.residual
    x = normed(x, decoder.after_attention) if decoder.norms_of_sums else x
    h = normed(before if decoder.parallel else x, decoder.norm2)
    routed = decoder.experts and f"{path}.mlp.gate.weight" in decoder.weights
    made = experts(decoder, h, layer, kept) if routed else mlp(decoder, h, f"{path}.mlp", kept)
    kept.keep(f"{path}.mlp", made)
    made = normed(made, decoder.after_mlp) if decoder.after_mlp else made
    x = x + made * (decoder.residual if decoder.mlp_residual is None else decoder.mlp_residual)
    kept.keep(path, x)
    return x


def _attended(decoder: Decoder, h: Tensor, layer: int, kept: Kept, cache: Cache | None) -> Tensor:
    """What attention adds to the stream, of the normalised stream [B,T,D]."""
    path = f"model.layers.{layer}.{_ATTENTION}"
    B, T = h.shape[:2]
    make = _of_latents if decoder.latent else _of_projections
    q, k, v = make(decoder, h, layer, kept)  # [B,H,T,K]
    k, v = cache.extended(layer, (k, v)) if cache else (k, v)  # [B,H,S,K]
    for name, value in (("q", q), ("k", k), ("v", v)):
        kept.keep(f"{path}:{name}", value)
    heads = heads_of(decoder, q, k, v, layer)
    kept.keep(f"{path}:heads", heads)
    merged = heads if decoder.merged_as_they_lie else heads.transpose(1, 2)
    made = decoder.projected(merged.reshape(B, T, -1), f"{path}.o_proj")
    kept.keep(f"{path}.o_proj", made)
    return made


def _of_projections(decoder: Decoder, h: Tensor, layer: int, kept: Kept) -> tuple[Tensor, ...]:
    """Queries, keys and values [B,H,T,K] as attention takes them."""
    path = f"model.layers.{layer}.{_ATTENTION}"
    B, T = h.shape[:2]
    q, k, v = (part.reshape(B, T, -1, decoder.size).transpose(1, 2) for part in _projections(decoder, h, path, kept))
    if decoder.qk_norm in ("before", "whole"):
        q, k = _qk_norm(decoder, q, path, "q_norm", kept), _qk_norm(decoder, k, path, "k_norm", kept)
    turning, settings = {"q": q, "k": k, "v": v}, rope_of(decoder, layer)
    for name in settings.turned:
        turning[name] = turned(turning[name], settings, name == "k")
    q, k, v = turning.values()
    if decoder.qk_norm == "after":
        q, k = _qk_norm(decoder, q, path, "q_norm", kept), _qk_norm(decoder, k, path, "k_norm", kept)
    return q, k, v


def _of_latents(decoder: Decoder, h: Tensor, layer: int, kept: Kept) -> tuple[Tensor, ...]:
    """The same, of compressed ones."""
    latent, path = decoder.latent, f"model.layers.{layer}.{_ATTENTION}"
    assert latent is not None
    B, T = h.shape[:2]

    def projected(x: Tensor, name: str) -> Tensor:
        made = decoder.projected(x, f"{path}.{name}")
        kept.keep(f"{path}.{name}", made)
        return made

    def normed(x: Tensor, name: str) -> Tensor:
        made = decoder.normed(x, f"{path}.{name}")
        kept.keep(f"{path}.{name}", made)
        return made

    low = projected(h, "q_a_proj")
    q = projected(normed(low, "q_a_layernorm") if latent.query_normed else low, "q_b_proj")
    q = q.view(B, T, -1, latent.nope + latent.rope).transpose(1, 2)  # [B,H,T,K]
    compressed = projected(h, "kv_a_proj_with_mqa")
    low, turning = torch.split(compressed, [latent.rank, latent.rope], -1)
    both = projected(normed(low, "kv_a_layernorm") if latent.normed else low, "kv_b_proj")
    both = both.view(B, T, -1, latent.nope + latent.value).transpose(1, 2)
    k, v = torch.split(both, [latent.nope, latent.value], -1)
    if latent.value_first:
        v, k = torch.split(both, [latent.value, latent.nope], -1)
    plain, part = (
        torch.split(q, [latent.nope, latent.rope], -1) if not latent.rope_first else _last_first(q, latent.rope)
    )
    part = turned(part, decoder.rope, key=False) if "q" in decoder.rope.turned else part
    turning = turning.view(B, 1, T, latent.rope)
    turning = turned(turning, decoder.rope, key=True) if "k" in decoder.rope.turned else turning
    return torch.cat([plain, part], -1), torch.cat([k, turning.expand(-1, k.shape[1], -1, -1)], -1), v


def _last_first(q: Tensor, rope: int) -> tuple[Tensor, Tensor]:
    part, plain = torch.split(q, [rope, q.shape[-1] - rope], -1)
    return plain, part


def _projections(decoder: Decoder, h: Tensor, path: str, kept: Kept) -> tuple[Tensor, ...]:
    """Queries, keys and values [B,T,H·K] as they are projected."""
    H, G, K = decoder.heads, decoder.groups, decoder.size
    if f"{path}.qkv_proj.weight" in decoder.weights:
        fused = decoder.projected(h, f"{path}.qkv_proj")
        kept.keep(f"{path}.qkv_proj", fused)
        if decoder.fused == "heads":
            parts = tuple(part.flatten(2) for part in fused.view(*fused.shape[:2], H, 3, K).unbind(3))
        else:
            parts = torch.split(fused, [H * K, G * K, G * K], -1)
    else:
        parts = tuple(decoder.projected(h, f"{path}.{name}_proj") for name in "qkv")
        for name, part in zip("qkv", parts, strict=True):
            kept.keep(f"{path}.{name}_proj", part)
    q, k, v = parts
    return decoder.cut(decoder, q, k, v) if decoder.cut else (q, k, v)


def _qk_norm(decoder: Decoder, heads: Tensor, path: str, name: str, kept: Kept) -> Tensor:
    """Heads [B,H,T,K], normalised one by one, or all of a token's at once."""
    if name in decoder.without:
        return heads
    x = heads.transpose(1, 2)  # [B,T,H,K]
    if decoder.qk_norm == "whole":
        x = decoder.unit(x, (-1, -2)) * (decoder.weights[f"{path}.{name}.weight"] + decoder.norm.plus)
    else:
        x = decoder.normed(x, f"{path}.{name}")
    kept.keep(f"{path}.{name}", x)
    return x.transpose(1, 2)


def apart(one: Array, other: Array) -> float:
    """How far two arrays are apart in their worst row, relative to that row."""
    if one.shape != other.shape:
        return math.inf
    a, b = (side.reshape(-1, side.shape[-1]).astype(np.float64) for side in (one, other))
    return float((np.linalg.norm(a - b, axis=1) / np.maximum(np.linalg.norm(b, axis=1), 1e-30)).max())
