"""Llama's forward pass from Meta's formulas and Meta's names, straight down, sharing nothing with tracetui.

Rotary embedding in complex numbers over adjacent pairs, grouped queries, SwiGLU, RMSNorm; all in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]


def forward(state: Mapping[str, torch.Tensor], params: Mapping[str, Any], ids: Sequence[int]) -> Tensors:
    """Everything that one pass computes, by a name of ours: `2.scores` is layer 2's [H,T,T]."""
    weights = {name: tensor.double() for name, tensor in state.items()}
    heads, kv_heads, eps = params["n_heads"], params["n_kv_heads"], params["norm_eps"]
    head_size, length = params["dim"] // heads, len(ids)
    angles = torch.outer(torch.arange(length).double(), frequencies(head_size, params))  # [T,K/2]
    turn = torch.polar(torch.ones_like(angles), angles)  # [T,K/2]
    seen: Tensors = {}
    x = weights["tok_embeddings.weight"][list(ids)]  # [T,D]
    for layer in range(params["n_layers"]):
        w = {name.removeprefix(f"layers.{layer}."): tensor for name, tensor in weights.items()}
        normed = rms_norm(x, w["attention_norm.weight"], eps)  # [T,D]
        q = rotate((normed @ w["attention.wq.weight"].T).view(length, heads, head_size), turn)  # [T,H,K]
        k = rotate((normed @ w["attention.wk.weight"].T).view(length, kv_heads, head_size), turn)  # [T,G,K]
        v = (normed @ w["attention.wv.weight"].T).view(length, kv_heads, head_size)  # [T,G,K]
        k, v = (kv.repeat_interleave(heads // kv_heads, dim=1) for kv in (k, v))  # [T,H,K]
        scores = torch.einsum("thk,shk->hts", q, k) / math.sqrt(head_size)  # [H,T,T]
        masked = scores + torch.full((length, length), -math.inf).double().triu(1)  # [H,T,T]
        probs = masked.softmax(-1)  # [H,T,T]
        per_head = torch.einsum("hts,shk->htk", probs, v)  # [H,T,K]
        x = x + per_head.transpose(0, 1).reshape(length, -1) @ w["attention.wo.weight"].T  # [T,D]
        seen |= {f"{layer}.scores": scores, f"{layer}.masked": masked, f"{layer}.probs": probs}
        seen |= {f"{layer}.v": v, f"{layer}.heads": per_head, f"{layer}.attn_residual": x}
        normed = rms_norm(x, w["ffn_norm.weight"], eps)  # [T,D]
        gate, up = normed @ w["feed_forward.w1.weight"].T, normed @ w["feed_forward.w3.weight"].T  # [T,F]
        down = (gate * gate.sigmoid() * up) @ w["feed_forward.w2.weight"].T  # [T,D]
        x = x + down  # [T,D]
        seen |= {f"{layer}.gate": gate, f"{layer}.up": up, f"{layer}.down": down, f"{layer}.out": x}
    final = rms_norm(x, weights["norm.weight"], eps)  # [T,D]
    return seen | {"norm": final, "logits": final @ weights["output.weight"].T}  # [T,V]


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotate(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turn each adjacent pair of x [T,H,K], read as one complex number, by its angle."""
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))  # [T,H,K/2]
    return torch.view_as_real(pairs * turn[:, None]).flatten(-2)  # [T,H,K]


def frequencies(head_size: int, params: Mapping[str, Any]) -> torch.Tensor:
    """[K/2]: angle per position of each pair, slow ones slowed further where the context was stretched."""
    plain = [float(params["rope_theta"]) ** (-2 * pair / head_size) for pair in range(head_size // 2)]
    if not params.get("use_scaled_rope"):
        return torch.tensor(plain, dtype=torch.float64)
    factor, low, high, trained = params.get("rope_scaling_factor", 8), 1, params.get("high_freq_factor", 4), 8192
    scaled = []
    for frequency in plain:
        turns = trained * frequency / (2 * math.pi)
        smooth = min(max((turns - low) / (high - low), 0), 1)
        scaled.append((1 - smooth) * frequency / factor + smooth * frequency)
    return torch.tensor(scaled, dtype=torch.float64)
