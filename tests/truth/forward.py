"""One pass of a decoder, and what a script would have kept of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.truth.decoder import Decoder, Rope
from tracetui.trace.value import Array

KINDS = ("layers", "hooks", "qkv", "full")
"""The stream alone; what modules return; q, k and v after RoPE too; the heads too."""
_ROLES = {"qkv": (":q", ":k", ":v"), "full": (":q", ":k", ":v", ":heads")}
_ATTENTION = "self_attn"


@dataclass(eq=False)
class Kept:
    """A dump of one kind, in order of execution."""

    kind: str
    arrays: dict[str, Array] = field(default_factory=dict)

    def keep(self, site: str, value: Tensor) -> None:
        inside = site.removeprefix("model.layers.")
        role = site[site.index(":") :] if ":" in site else ""
        stream = inside.isdecimal() or not site.startswith("model.layers.")
        if role in _ROLES.get(self.kind, ()) or (not role and (stream or self.kind != "layers")):
            self.arrays[site] = value.detach().numpy().copy()


@torch.no_grad()
def dump(decoder: Decoder, ids: list[int], kind: str) -> dict[str, Array]:
    """What a script keeps of a decoder's pass over one prompt."""
    kept = Kept(kind)
    x = F.embedding(torch.tensor([ids]), decoder.weights["model.embed_tokens.weight"])  # [B,T,D]
    scaled = x * decoder.embed_scale
    kept.keep("model.embed_tokens", scaled if decoder.scale_recorded else x)
    x = scaled
    for layer in range(decoder.layers):
        x = _layer(decoder, x, layer, kept)
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


def _layer(decoder: Decoder, x: Tensor, layer: int, kept: Kept) -> Tensor:
    path = f"model.layers.{layer}"

    def normed(value: Tensor, name: str) -> Tensor:
        made = decoder.normed(value, f"{path}.{name}")
        if name not in decoder.without:
            kept.keep(f"{path}.{name}", made)
        return made

    h = normed(x, "input_layernorm")
    made = _attended(decoder, h, layer, kept)
    kept.keep(f"{path}.{_ATTENTION}", made)
    made = normed(made, decoder.after_attention) if decoder.after_attention else made
    before, x = x, (h if decoder.residual_of_norm else x) + made * decoder.residual
    h = normed(before if decoder.parallel else x, decoder.norm2)
    made = _experts(decoder, h, layer, kept) if decoder.experts else _mlp(decoder, h, f"{path}.mlp", kept)
    kept.keep(f"{path}.mlp", made)
    made = normed(made, decoder.after_mlp) if decoder.after_mlp else made
    x = x + made * (decoder.residual if decoder.mlp_residual is None else decoder.mlp_residual)
    kept.keep(path, x)
    return x


def _attended(decoder: Decoder, h: Tensor, layer: int, kept: Kept) -> Tensor:
    """What attention adds to the stream, of the normalised stream [B,T,D]."""
    path = f"model.layers.{layer}.{_ATTENTION}"
    B, T = h.shape[:2]
    q, k, v = (
        part.view(B, T, -1, decoder.size).transpose(1, 2) for part in _projections(decoder, h, path, kept)
    )  # [B,H,T,K]
    if decoder.qk_norm in ("before", "whole"):
        q, k = _qk_norm(decoder, q, path, "q_norm", kept), _qk_norm(decoder, k, path, "k_norm", kept)
    turning, settings = {"q": q, "k": k, "v": v}, decoder.rope
    for name in settings.turned:
        turning[name] = turned(turning[name], settings, name == "k")
    q, k, v = turning.values()
    if decoder.qk_norm == "after":
        q, k = _qk_norm(decoder, q, path, "q_norm", kept), _qk_norm(decoder, k, path, "k_norm", kept)
    for name, value in (("q", q), ("k", k), ("v", v)):
        kept.keep(f"{path}:{name}", value)
    heads = _heads(decoder, q, k, v, layer)
    kept.keep(f"{path}:heads", heads)
    merged = heads if decoder.merged_as_they_lie else heads.transpose(1, 2)
    made = decoder.projected(merged.reshape(B, T, -1), f"{path}.o_proj")
    kept.keep(f"{path}.o_proj", made)
    return made


def _projections(decoder: Decoder, h: Tensor, path: str, kept: Kept) -> tuple[Tensor, ...]:
    H, G, K = decoder.heads, decoder.groups, decoder.size
    if f"{path}.qkv_proj.weight" in decoder.weights:
        fused = decoder.projected(h, f"{path}.qkv_proj")
        kept.keep(f"{path}.qkv_proj", fused)
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
        weight = decoder.weights[f"{path}.{name}.weight"] + decoder.norm.plus
        x = x * torch.rsqrt(x.square().mean((-1, -2), keepdim=True) + decoder.norm.eps) * weight
    else:
        x = decoder.normed(x, f"{path}.{name}")
    kept.keep(f"{path}.{name}", x)
    return x.transpose(1, 2)


def turned(heads: Tensor, rope: Rope, key: bool) -> Tensor:
    """Heads [B,H,T,K] turned by their positions."""
    R = int(heads.shape[-1] * rope.share)
    theta = rope.key_theta if key and rope.key_theta else rope.theta
    exponent = torch.arange(0, R, 2).float() / (heads.shape[-1] if rope.whole_exponent else R)
    speeds = theta**-exponent / rope.factor  # [R/2]
    speeds = _llama3(speeds, *rope.llama3) if rope.llama3 else speeds
    positions = torch.arange(heads.shape[2]).float() + rope.offset + (rope.key_offset if key else 0)
    angles = torch.outer(positions, speeds) * rope.sign  # [T,R/2]
    cos, sin = angles.cos() * rope.length, angles.sin() * rope.length
    part, rest = heads[..., :R], heads[..., R:]
    a, b = (part[..., 0::2], part[..., 1::2]) if rope.pairs else part.chunk(2, -1)
    one, other = a * cos - b * sin, b * cos + a * sin
    made = torch.stack([one, other], -1).flatten(-2) if rope.pairs else torch.cat([one, other], -1)
    return torch.cat([made, rest], -1)


def _llama3(speeds: Tensor, factor: float, low: float, high: float, original: int) -> Tensor:
    waves = 2 * math.pi / speeds
    smooth = ((original / waves - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * speeds / factor + smooth * speeds


def _heads(decoder: Decoder, q: Tensor, k: Tensor, v: Tensor, layer: int) -> Tensor:
    """Each head's output [B,H,T,K]."""
    settings, T = decoder.attention, q.shape[2]
    times = q.shape[1] // k.shape[1]
    if settings.tiled:
        k, v = (part.repeat(1, times, 1, 1) for part in (k, v))
    else:
        k, v = (part.repeat_interleave(times, 1) for part in (k, v))
    scores = q @ k.transpose(-1, -2) * settings.scale  # [B,H,T,S]
    if settings.softcap:
        scores = torch.tanh(scores / settings.softcap) * settings.softcap
    back = torch.arange(T)[:, None] - torch.arange(T)  # [T,S]
    if settings.alibi:
        slopes = 2 ** (-8 * torch.arange(1, q.shape[1] + 1) / q.shape[1])  # [H]
        scores = scores - slopes[:, None, None] * back.clamp(min=0)
    hidden = back >= (decoder.window(layer) or T)
    hidden = hidden if settings.ahead is None else hidden | (back < -settings.ahead)
    return scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1) @ v


def _mlp(decoder: Decoder, h: Tensor, path: str, kept: Kept) -> Tensor:
    if f"{path}.gate_up_proj.weight" in decoder.weights:
        fused = decoder.projected(h, f"{path}.gate_up_proj")
        kept.keep(f"{path}.gate_up_proj", fused)
        neighbours = decoder.gate_up == "neighbours"
        gate, up = (fused[..., 0::2], fused[..., 1::2]) if neighbours else fused.chunk(2, -1)
        gate, up = (up, gate) if decoder.gate_up == "up, gate" else (gate, up)
    else:
        gate, up = (decoder.projected(h, f"{path}.{name}_proj") for name in ("gate", "up"))
        kept.keep(f"{path}.gate_proj", gate)
        kept.keep(f"{path}.up_proj", up)
    inner = decoder.act(up) * gate if decoder.act_on_up else decoder.act(gate) * up
    made = decoder.projected(inner, f"{path}.down_proj")
    kept.keep(f"{path}.down_proj", made)
    return made


def _experts(decoder: Decoder, h: Tensor, layer: int, kept: Kept) -> Tensor:
    settings, path = decoder.experts, f"model.layers.{layer}.mlp"
    assert settings is not None
    x = h.view(-1, h.shape[-1])  # [N,D]
    logits = F.linear(x, decoder.weights[f"{path}.gate.weight"])  # [N,E]
    scores = logits.softmax(-1) if settings.scoring == "softmax" else logits.sigmoid()
    weights, chosen = scores.topk(settings.count, -1)  # [N,A]
    if settings.normalised:
        weights = weights / weights.sum(-1, keepdim=True)
    weights = weights * settings.scaling
    kept.keep(f"{path}.gate", logits)
    kept.keep(f"{path}.gate#1", weights)
    kept.keep(f"{path}.gate#2", chosen)
    both, down = (decoder.weights[f"{path}.experts.{name}_proj"] for name in ("gate_up", "down"))  # [E,2F,D] [E,D,F]
    made = torch.zeros_like(x)
    for place in range(settings.count):
        gate, up = torch.einsum("nd,nfd->nf", x, both[chosen[:, place]]).chunk(2, -1)
        inner = decoder.act(gate) * up
        made += weights[:, place, None] * torch.einsum("nf,ndf->nd", inner, down[chosen[:, place]])
    kept.keep(f"{path}.experts", made)
    return made.view(h.shape)


def apart(one: Array, other: Array) -> float:
    """How far two arrays are apart in their worst row, relative to that row."""
    if one.shape != other.shape:
        return math.inf
    a, b = (side.reshape(-1, side.shape[-1]).astype(np.float64) for side in (one, other))
    return float((np.linalg.norm(a - b, axis=1) / np.maximum(np.linalg.norm(b, axis=1), 1e-30)).max())
