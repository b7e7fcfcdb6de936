"""What llama.cpp's converter makes of tensors of recurrent layers, of experts and of some families' own parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch

Tensors = Iterator[tuple[str, torch.Tensor]]
_BACKBONE = ("mamba", "falcon_mamba", "mamba2", "nemotron_h")
_LAYER = re.compile(r"\.layers\.(\d+)\.")


def changed(name: str, tensor: torch.Tensor, config: Any) -> Tensors | None:
    """The tensors that one becomes, under names that gguf's tables know, or the file's own; None if it stays."""
    family = config.model_type
    if family in ("qwen3_5_text", "qwen3_5_moe_text") and ".linear_attn." in name:
        tensor = _tiled(name, tensor, config)
    if name.endswith("in_proj_qkvz.weight"):
        return _parted(name, tensor, config)
    if family == "falcon_h1":
        tensor = _multiplied(name, tensor, config)
    if ".experts." in name:
        return None
    if ".mixer." in name or ".mamba." in name or ".linear_attn." in name:
        return _recurrent(name, tensor, config)
    if name.endswith((".conv.conv.weight", "conv1d.weight")):
        return iter([(name, tensor.squeeze(1))])
    return _special(name, tensor, config) or (iter([(name, tensor)]) if family == "falcon_h1" else None)


def _special(name: str, tensor: torch.Tensor, config: Any) -> Tensors | None:
    layer = found[1] if (found := _LAYER.search(name)) else ""
    last = name.rpartition(".")[2]
    if config.model_type == "gpt2" and name.endswith(".weight") and (".c_" in name):
        return iter([(name, tensor.t())])
    if last == "layer_scalar" or (name.endswith("_scale") and ".altup." in name):
        return iter([(f"{name}.weight", tensor)])
    if name.endswith("router.scale"):
        return iter([(f"blk.{layer}.ffn_gate_inp.scale", tensor)])
    if last == "per_expert_scale":
        return iter([(f"blk.{layer}.ffn_down_exps.scale", tensor)])
    if "shared_mlp" in name and "_linear" in name:
        return _shared(
            layer,
            name,
            tensor,
            "" if config.model_type == "granitemoehybrid" and not config.num_local_experts else "_shexp",
        )
    if name.endswith("router.weight") and ".block_sparse_moe." in name:
        return iter([(f"blk.{layer}.ffn_gate_inp.weight", tensor)])
    if ".moe_statics." in name:
        return iter([(f"blk.{layer}.exp_probs_b.bias", tensor.view(-1))])
    if last == "expert_bias":
        return iter([(f"{name}.bias", tensor)])
    if config.model_type == "minimax_m2" and "e_score" in name:
        return iter([(f"blk.{layer}.exp_probs_b.bias", tensor)])
    return None


def _shared(layer: str, name: str, tensor: torch.Tensor, kind: str) -> Tensors:
    if "output_linear" in name:
        yield f"blk.{layer}.ffn_down{kind}.weight", tensor
        return
    gate, up = tensor.chunk(2)
    yield f"blk.{layer}.ffn_gate{kind}.weight", gate
    yield f"blk.{layer}.ffn_up{kind}.weight", up


def _recurrent(name: str, tensor: torch.Tensor, config: Any) -> Tensors:
    if config.model_type in _BACKBONE:
        name = re.sub("^model", "backbone", name)
    is_second = config.model_type in ("mamba2", "falcon_h1", "granitemoehybrid", "nemotron_h")
    if name.endswith(".A_log"):
        tensor = -torch.exp(tensor)
    if name.endswith((".A_log", ".D")) and is_second:
        tensor = tensor.unsqueeze(-1)
    elif name.endswith("conv1d.weight"):
        tensor = tensor.squeeze(1)
    elif name.endswith((".mixer.norm.weight", ".mamba.norm.weight")):
        groups = getattr(config, "n_groups", None) or config.mamba_n_groups
        tensor = tensor.view(groups, -1)
    name = name.replace("e_score_correction_bias", "e_score_correction.bias")
    yield name.replace(".dt_bias", ".dt_proj.bias"), tensor


def _parted(name: str, tensor: torch.Tensor, config: Any) -> Tensors:
    """Queries, keys, values and gates of each head of keys apart, and each kind together."""
    layer, keys = _LAYER.search(name), config.linear_num_key_heads
    assert layer is not None
    wide = config.linear_num_value_heads // keys * config.linear_value_head_dim
    sizes = [config.linear_key_head_dim] * 2 + [wide] * 2
    parts = torch.split(tensor.view(keys, -1, tensor.shape[-1]), sizes, 1)
    *qkv, gates = (part.reshape(-1, tensor.shape[-1]) for part in parts)
    yield f"blk.{layer[1]}.attn_qkv.weight", torch.cat(qkv)
    yield f"blk.{layer[1]}.attn_gate.weight", gates


def _tiled(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """Heads of values: the first of each head of keys, then the second of each."""
    keys, values = config.linear_num_key_heads, config.linear_num_value_heads

    def tile(part: torch.Tensor) -> torch.Tensor:
        return part.reshape(keys, values // keys, -1, *part.shape[1:]).transpose(0, 1).reshape(part.shape)

    leaf = name.partition(".linear_attn.")[2]
    if leaf == "out_proj.weight":
        return tile(tensor.t()).t()
    if leaf in ("in_proj_qkv.weight", "conv1d.weight"):
        before = 2 * keys * config.linear_key_head_dim
        return torch.cat((tensor[:before], tile(tensor[before:])))
    return tensor if leaf == "norm.weight" else tile(tensor)


def _multiplied(name: str, tensor: torch.Tensor, config: Any) -> torch.Tensor:
    """Falcon-H1's weights times what its configuration multiplies by."""
    gate, down = config.mlp_multipliers
    factors = {
        "down_proj": down, "gate_proj": gate, "q_proj": config.attention_in_multiplier,
        "k_proj": config.key_multiplier * config.attention_in_multiplier, "v_proj": config.attention_in_multiplier,
        "o_proj": config.attention_out_multiplier, "out_proj": config.ssm_out_multiplier,
        "lm_head": config.lm_head_multiplier, "embed_tokens": config.embedding_multiplier,
    }  # fmt: skip
    leaf = name.rpartition(".")[0].rpartition(".")[2]
    if leaf != "in_proj":
        return tensor * float(factors.get(leaf, 1.0))
    inner, states = config.mamba_d_ssm, config.mamba_n_groups * config.mamba_d_state
    sizes = [inner, inner, states, states, config.mamba_n_heads]
    each = [torch.full((size,), factor) for size, factor in zip(sizes, config.ssm_multipliers, strict=True)]
    return tensor * float(config.ssm_in_multiplier) * torch.cat(each).unsqueeze(1)
