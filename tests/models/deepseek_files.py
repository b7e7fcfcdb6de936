"""Makes small folders in the form of DeepSeek-V3's reference code: its configuration and one safetensors file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

State = dict[str, torch.Tensor]

BASE: Mapping[str, Any] = {
    "vocab_size": 260,
    "dim": 32,
    "inter_dim": 24,
    "moe_inter_dim": 16,
    "n_layers": 3,
    "n_dense_layers": 1,
    "n_heads": 3,
    "n_routed_experts": 12,
    "n_shared_experts": 2,
    "n_activated_experts": 3,
    "n_expert_groups": 4,
    "n_limited_groups": 2,
    "route_scale": 2.5,
    "score_func": "sigmoid",
    "q_lora_rank": 20,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 16,
    "v_head_dim": 6,
    "max_seq_len": 256,
    "original_seq_len": 64,
    "rope_theta": 100.0,
    "rope_factor": 8.0,
    "beta_fast": 8,
    "beta_slow": 1,
    "mscale": 0.707,
}
FORMS: Mapping[str, Mapping[str, Any]] = {
    "biased": {**BASE, "dim": 7168, "n_layers": 2},
    "biased softmax": {**BASE, "dim": 7168, "n_layers": 2, "score_func": "softmax"},
    "unbiased": {**BASE, "max_seq_len": 64},
    "unbiased softmax": {**BASE, "score_func": "softmax", "q_lora_rank": 0, "mscale": 1.0},
    "one group": {**BASE, "n_expert_groups": 1, "n_limited_groups": 1},
}
"""With the width at which the gate has a bias and without, each with both scores."""
FILE = "model0-mp1.safetensors"
_PLAIN = ("norm", "embed", "head", "gate")


def state_dict(params: Mapping[str, Any], seed: int = 5) -> State:
    """Random float32 weights in the reference code's names."""
    generator = torch.Generator().manual_seed(seed)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return 1.5 * torch.randn(rows, columns, generator=generator) / math.sqrt(columns)

    def norm(size: int) -> torch.Tensor:
        return 1 + 0.3 * torch.randn(size, generator=generator)

    def swiglu(at: str, inner: int) -> State:
        dim = params["dim"]
        shapes = {"w1": (inner, dim), "w2": (dim, inner), "w3": (inner, dim)}
        return {f"{at}{name}.weight": matrix(*shape) for name, shape in shapes.items()}

    dim, rank, heads = params["dim"], params["kv_lora_rank"], params["n_heads"]
    rope, key = params["qk_rope_head_dim"], params["qk_nope_head_dim"] + params["qk_rope_head_dim"]
    state = {
        "embed.weight": torch.randn(params["vocab_size"], dim, generator=generator),
        "norm.weight": norm(dim),
        "head.weight": matrix(params["vocab_size"], dim),
    }
    for layer in range(params["n_layers"]):
        at = f"layers.{layer}."
        state |= {f"{at}attn_norm.weight": norm(dim), f"{at}ffn_norm.weight": norm(dim)}
        if params["q_lora_rank"]:
            state[f"{at}attn.wq_a.weight"] = matrix(params["q_lora_rank"], dim)
            state[f"{at}attn.q_norm.weight"] = norm(params["q_lora_rank"])
            state[f"{at}attn.wq_b.weight"] = matrix(heads * key, params["q_lora_rank"])
        else:
            state[f"{at}attn.wq.weight"] = matrix(heads * key, dim)
        state[f"{at}attn.wkv_a.weight"] = matrix(rank + rope, dim)
        state[f"{at}attn.kv_norm.weight"] = norm(rank)
        state[f"{at}attn.wkv_b.weight"] = matrix(heads * (params["qk_nope_head_dim"] + params["v_head_dim"]), rank)
        state[f"{at}attn.wo.weight"] = matrix(dim, heads * params["v_head_dim"])
        if layer < params["n_dense_layers"]:
            state |= swiglu(f"{at}ffn.", params["inter_dim"])
            continue
        state[f"{at}ffn.gate.weight"] = matrix(params["n_routed_experts"], dim)
        if dim == 7168:
            # As far apart as the scores: it decides who is chosen, and would show in a weight.
            state[f"{at}ffn.gate.bias"] = 0.3 * torch.randn(params["n_routed_experts"], generator=generator)
        for expert in range(params["n_routed_experts"]):
            state |= swiglu(f"{at}ffn.experts.{expert}.", params["moe_inter_dim"])
        state |= swiglu(f"{at}ffn.shared_experts.", params["n_shared_experts"] * params["moe_inter_dim"])
    return state


def write_folder(
    folder: Path, params: Mapping[str, Any], state: Mapping[str, torch.Tensor], config: str = "config.json"
) -> Path:
    """A folder with both files."""
    folder.mkdir(exist_ok=True)
    (folder / config).write_text(json.dumps(dict(params)))
    save_file(dict(state), folder / FILE)
    return folder


def in_float8(state: Mapping[str, torch.Tensor]) -> tuple[State, State]:
    """The state as stored in float8 with a scale for each block of 128 × 128, and the values that this means."""
    stored: State = {}
    meant: State = {}
    for name, tensor in state.items():
        if tensor.dim() != 2 or any(part in name for part in _PLAIN):
            stored[name] = meant[name] = tensor
            continue
        rows, columns = (-(-length // 128) for length in tensor.shape)
        wide = torch.zeros(rows * 128, columns * 128)
        wide[: tensor.shape[0], : tensor.shape[1]] = tensor
        scale = wide.view(rows, 128, columns, 128).abs().amax((1, 3)) / 448 + 1e-12  # [rows,columns]
        each = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)[: tensor.shape[0], : tensor.shape[1]]
        stored[name] = (tensor / each).to(torch.float8_e4m3fn)
        stored[name.removesuffix("weight") + "scale"] = scale
        meant[name] = stored[name].float() * each
    return stored, meant
