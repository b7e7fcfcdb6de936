"""Queries and keys turned by their positions, and the heads that are made of them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from tests.truth.decoder import Attention, Decoder, Rope


def rope_of(decoder: Decoder, layer: int) -> Rope:
    """How a layer turns."""
    local = decoder.rope.local_theta
    if local is None or decoder.local_window(layer) is None:
        return decoder.rope
    return replace(decoder.rope, theta=local)


def turned(heads: Tensor, rope: Rope, key: bool) -> Tensor:
    """Heads [B,H,T,K] turned by their positions."""
    R = int(heads.shape[-1] * rope.share)
    theta = rope.key_theta if key and rope.key_theta else rope.theta
    exponent = torch.arange(0, R, 2).float() / (heads.shape[-1] if rope.whole_exponent else R)
    speeds = theta**-exponent / rope.factor  # [R/2]
    speeds = _llama3(speeds, *rope.llama3) if rope.llama3 else speeds
    positions = torch.arange(heads.shape[2]).float() + rope.offset + (rope.key_offset if key else 0)
    positions = positions.flip(0) if rope.reversed else positions
    angles = torch.outer(positions, speeds) * rope.sign  # [T,R/2]
    cos, sin = angles.cos() * rope.length, angles.sin() * rope.length
    part, rest = heads[..., :R], heads[..., R:]
    if rope.last:
        rest, part = heads[..., :-R], heads[..., -R:]
    a, b = (part[..., 0::2], part[..., 1::2]) if rope.pairs else part.chunk(2, -1)
    one, other = a * cos - b * sin, b * cos + a * sin
    halves = rope.pairs and not rope.pairs_to_halves
    made = torch.stack([one, other], -1).flatten(-2) if halves else torch.cat([one, other], -1)
    return torch.cat([rest, made] if rope.last else [made, rest], -1)


def _llama3(speeds: Tensor, factor: float, low: float, high: float, original: int) -> Tensor:
    waves = 2 * math.pi / speeds
    smooth = ((original / waves - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * speeds / factor + smooth * speeds


def heads_of(decoder: Decoder, q: Tensor, k: Tensor, v: Tensor, layer: int) -> Tensor:
    """Each head's output [B,H,T,K]."""
    settings = decoder.attention
    times = q.shape[1] // k.shape[1]
    if settings.tiled:
        k, v = (part.repeat(1, times, 1, 1) for part in (k, v))
    else:
        k, v = (part.repeat_interleave(times, 1) for part in (k, v))
    return _probabilities(settings, q @ k.transpose(-1, -2) * settings.scale, decoder.window(layer)) @ v


def _probabilities(settings: Attention, scores: Tensor, window: int | None) -> Tensor:
    """What is made of scores [B,H,T,S] that are scaled."""
    for _ in range(settings.caps if settings.softcap else 0):
        assert settings.softcap is not None
        scores = torch.tanh(scores / settings.softcap) * settings.softcap
    H, T, S = scores.shape[1:]
    back = torch.arange(S - T, S)[:, None] - torch.arange(S)  # [T,S]
    if settings.alibi:
        slopes = 2 ** (-8 * torch.arange(1, H + 1) / H)  # [H]
        scores = scores - slopes[:, None, None] * back.clamp(min=0)
    hidden = back >= (window or S)
    hidden = hidden if settings.ahead is None else hidden | (back < -settings.ahead)
    if settings.base:
        scores = scores * math.log(settings.base)
    if settings.after_softmax:
        return scores.softmax(-1).masked_fill(hidden, 0.0)
    scores = scores.masked_fill(hidden, 0.0 if settings.hidden_as_zero else torch.finfo(scores.dtype).min)
    if settings.dtype:
        scores = scores.to(getattr(torch, settings.dtype))
    return scores.softmax(-2 if settings.over_queries else -1).float()
