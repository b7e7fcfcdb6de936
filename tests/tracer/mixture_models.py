"""Tiny mixtures of experts, one for each kind of router that goes through transformers' interface."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tracer.models import SIZES, seeded

EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 16,
    "num_experts": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 3,
    "max_position_embeddings": 64,
}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 4,
    "topk_group": 2,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "mixtral": {},
    "olmoe": {},
    "qwen2_moe": {"shared_expert_intermediate_size": 8},
    "qwen3_moe": {"head_dim": 8},
    "deepseek_v2": {**LATENT, "topk_method": "group_limited_greedy", "head_dim": 4},
    "deepseek_v3": {**LATENT, "head_dim": 4},
    "glm4_moe": {"n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 2},
    "gpt_oss": {"head_dim": 8},
    "ernie4_5_moe": {"moe_num_experts": 8, "moe_k": 3, "moe_layer_start_index": 1},
    "granitemoe": {},
    "minimax_m2": {"head_dim": 8, "rotary_dim": 4},
}
"""What a family's configuration says beyond the common sizes; `head_dim` of MLA is its rotary part."""
BIASED = ("deepseek_v3", "glm4_moe", "ernie4_5_moe", "minimax_m2")
"""Families whose routers add a bias for the choice alone."""


def fields(family: str) -> dict[str, Any]:
    """The configuration of a tiny mixture, in transformers' names."""
    return {"model_type": family, **SIZES, **EXPERTS, **FAMILIES[family]}


def tiny_mixture(family: str, dtype: torch.dtype = torch.float32, kernel: str = "grouped_mm") -> Any:
    """A tiny mixture with random weights, selection biases too."""
    found = fields(family)
    model = seeded(AutoModelForCausalLM.from_config, AutoConfig.for_model(found.pop("model_type"), **found))
    for name, buffer in model.named_buffers():
        if "bias" in name:
            torch.nn.init.normal_(buffer, std=0.2)
    model.config._experts_implementation = kernel
    return model.to(dtype)
