"""DeepSeek-V3's forward pass from the formulas and names of its reference code, sharing nothing with tracetui.

Straight down for one text. Attention in both of its ways: naive expands keys and values for every head, absorb works
on the latent and folds wkv_b into the query and the output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import silu

Tensors = dict[str, torch.Tensor]
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mistakes:
    """What a port gets wrong, one thing at a time."""

    halves: bool = False
    """Element i is turned with i + half, not with its neighbour."""
    bias_as_weight: bool = False
    """The selection bias goes into the experts' weights."""
    other_ranking: bool = False
    """Groups are ranked by their best score where it is the best two's sum, and the other way round."""
    never_normalised: bool = False
    always_normalised: bool = False
    unscaled: bool = False
    """Stretched frequencies without the factor on the scores."""
    unstretched: bool = False
    """Plain frequencies with the factor on the scores."""


RIGHT = Mistakes()


def forward(
    state: Mapping[str, torch.Tensor],
    params: Params,
    ids: Sequence[int],
    mla: str = "naive",
    dtype: torch.dtype = torch.float64,
    wrong: Mistakes = RIGHT,
) -> Tensors:
    """Everything that one pass computes, by a name of ours: `2.scores` is layer 2's [H,T,T]."""
    weights = {name: tensor.to(dtype) for name, tensor in state.items()}
    seen: Tensors = {}
    x = weights["embed.weight"][list(ids)]  # [T,D]
    for layer in range(params["n_layers"]):
        prefix = f"layers.{layer}."
        w = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        made = attention(rms_norm(x, w["attn_norm.weight"]), w, params, mla, wrong)
        x = x + made["attn"]  # [T,D]
        made["attn_residual"] = x
        normed = rms_norm(x, w["ffn_norm.weight"])  # [T,D]
        if layer < params["n_dense_layers"]:
            made["ffn"] = swiglu(normed, w, "ffn.")
        else:
            made |= experts(normed, w, params, wrong)
        x = x + made["ffn"]  # [T,D]
        seen |= {f"{layer}.{name}": tensor for name, tensor in made.items()} | {f"{layer}.out": x}
    final = rms_norm(x, weights["norm.weight"])  # [T,D]
    return seen | {"norm": final, "logits": final @ weights["head.weight"].T}  # [T,V]


def attention(x: torch.Tensor, w: Tensors, params: Params, mla: str, wrong: Mistakes) -> Tensors:
    """MLA of x [T,D]."""
    length, heads = len(x), params["n_heads"]
    nope, rope, wide = params["qk_nope_head_dim"], params["qk_rope_head_dim"], params["v_head_dim"]
    if params["q_lora_rank"]:
        q = rms_norm(x @ w["attn.wq_a.weight"].T, w["attn.q_norm.weight"]) @ w["attn.wq_b.weight"].T  # [T,H*K]
    else:
        q = x @ w["attn.wq.weight"].T  # [T,H*K]
    q_nope, q_pe = torch.split(q.view(length, heads, nope + rope), [nope, rope], dim=-1)
    kv, k_pe = torch.split(x @ w["attn.wkv_a.weight"].T, [params["kv_lora_rank"], rope], dim=-1)
    angles = torch.outer(torch.arange(length).double(), frequencies(params, wrong))  # [T,rope/2]
    q_pe = rotate(q_pe, angles, wrong)  # [T,H,rope]
    k_pe = rotate(k_pe.unsqueeze(1), angles, wrong).squeeze(1)  # [T,rope]
    latent = rms_norm(kv, w["attn.kv_norm.weight"])  # [T,R]
    w_k, w_v = torch.split(w["attn.wkv_b.weight"].view(heads, nope + wide, -1), [nope, wide], dim=1)
    hidden = torch.full((length, length), -math.inf, dtype=x.dtype).triu(1)  # [T,T]
    made: Tensors = {"latent": latent, "k_pe": k_pe}
    if mla == "naive":
        k = torch.cat([torch.einsum("sr,hdr->shd", latent, w_k), k_pe[:, None].expand(-1, heads, -1)], dim=-1)
        v = torch.einsum("sr,hdr->shd", latent, w_v)  # [T,H,Kv]
        scores = torch.einsum("thk,shk->hts", torch.cat([q_nope, q_pe], dim=-1), k)  # [H,T,T]
    else:
        absorbed = torch.einsum("thd,hdr->thr", q_nope, w_k)  # [T,H,R]
        scores = torch.einsum("thr,sr->hts", absorbed, latent) + torch.einsum("thr,sr->hts", q_pe, k_pe)  # [H,T,T]
        made["q_absorbed"] = absorbed.transpose(0, 1)  # [H,T,R]
    scores = scores * softmax_scale(params, wrong)  # [H,T,T]
    probs = (scores + hidden).softmax(-1)  # [H,T,T]
    if mla == "naive":
        per_head = torch.einsum("hts,shv->htv", probs, v)  # [H,T,Kv]
    else:
        per_head = torch.einsum("htr,hvr->htv", probs @ latent, w_v)  # [H,T,Kv]
    out = per_head.transpose(0, 1).reshape(length, -1) @ w["attn.wo.weight"].T  # [T,D]
    return made | {"scores": scores, "masked": scores + hidden, "probs": probs, "heads": per_head, "attn": out}


def experts(x: torch.Tensor, w: Tensors, params: Params, wrong: Mistakes) -> Tensors:
    """The mixture of x [T,D]: the gate's choice, and the shared experts beside it."""
    logits = x @ w["ffn.gate.weight"].T  # [N,E]
    scores = logits.softmax(-1) if params["score_func"] == "softmax" else logits.sigmoid()  # [N,E]
    bias = w.get("ffn.gate.bias") if params["dim"] == 7168 else None
    chosen_by = scores if bias is None else scores + bias  # [N,E]
    groups = params["n_expert_groups"]
    if groups > 1:
        grouped = chosen_by.view(len(x), groups, -1)  # [N,groups,E/groups]
        by_best = (bias is None) != wrong.other_ranking
        ranks = grouped.amax(-1) if by_best else grouped.topk(2, dim=-1)[0].sum(-1)  # [N,groups]
        kept = ranks.topk(params["n_limited_groups"], dim=-1)[1]  # [N,kept]
        unused = torch.ones_like(ranks, dtype=torch.bool).scatter(1, kept, False)  # [N,groups]
        chosen_by = grouped.masked_fill(unused[..., None], -math.inf).flatten(1)  # [N,E]
    indices = chosen_by.topk(params["n_activated_experts"], dim=-1)[1]  # [N,A]
    weights = (chosen_by if wrong.bias_as_weight else scores).gather(1, indices)  # [N,A]
    normalised = params["score_func"] == "sigmoid"
    if (normalised or wrong.always_normalised) and not wrong.never_normalised:
        weights = weights / weights.sum(-1, keepdim=True)  # [N,A]
    weights = weights * params["route_scale"]  # [N,A]
    out = torch.zeros_like(x)  # [N,D]
    for token in range(len(x)):
        for expert, weight in zip(indices[token].tolist(), weights[token], strict=True):
            out[token] += weight * swiglu(x[token], w, f"ffn.experts.{expert}.")  # [D]
    dense = torch.zeros_like(scores).scatter(1, indices, weights)  # [N,E]
    made = {
        "router_logits": logits,
        "router_scores": scores,
        "selection_scores": chosen_by,
        "weights": dense,
        "experts": indices.sort(-1)[0],
        "routed": out,
    }
    return made | {"ffn": out + swiglu(x, w, "ffn.shared_experts.")}


def swiglu(x: torch.Tensor, w: Tensors, at: str) -> torch.Tensor:
    return (silu(x @ w[f"{at}w1.weight"].T) * (x @ w[f"{at}w3.weight"].T)) @ w[f"{at}w2.weight"].T


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight


def rotate(x: torch.Tensor, angles: torch.Tensor, wrong: Mistakes) -> torch.Tensor:
    """Turn each adjacent pair of x [T,H,rope], read as one complex number, by its angle [T,rope/2]."""
    turn = torch.polar(torch.ones_like(angles), angles)[:, None]  # [T,1,rope/2]
    if wrong.halves:
        one, other = x.double().chunk(2, dim=-1)
        turned = torch.complex(one, other) * turn  # [T,H,rope/2]
        return torch.cat([turned.real, turned.imag], dim=-1).to(x.dtype)
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2))  # [T,H,rope/2]
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)  # [T,H,rope]


def frequencies(params: Params, wrong: Mistakes = RIGHT) -> torch.Tensor:
    """[rope/2] in float64: angle per position of each pair; slow ones slowed further where more room is made."""
    rope: int = params["qk_rope_head_dim"]
    theta: float = params["rope_theta"]
    plain = torch.tensor([theta ** (-2 * pair / rope) for pair in range(rope // 2)], dtype=torch.float64)
    if params["max_seq_len"] <= params["original_seq_len"] or wrong.unstretched:
        return plain

    def pair_turning(times: float) -> float:
        return rope * math.log(params["original_seq_len"] / (times * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair_turning(params["beta_fast"])), 0)
    high = min(math.ceil(pair_turning(params["beta_slow"])), rope - 1)
    ramp = [min(max((pair - low) / ((high - low) or 0.001), 0), 1) for pair in range(rope // 2)]
    slowed = torch.tensor(ramp, dtype=torch.float64)  # [rope/2]
    factor: float = params["rope_factor"]
    return plain / factor * slowed + plain * (1 - slowed)


def softmax_scale(params: Params, wrong: Mistakes = RIGHT) -> float:
    scale: float = (params["qk_nope_head_dim"] + params["qk_rope_head_dim"]) ** -0.5
    if params["max_seq_len"] > params["original_seq_len"] and not wrong.unscaled:
        scale *= (0.1 * params["mscale"] * math.log(params["rope_factor"]) + 1) ** 2
    return scale
