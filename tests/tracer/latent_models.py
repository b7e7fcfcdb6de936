"""Tiny models with latent attention, of every family that goes through transformers' interface."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM

from tests.tracer.models import SIZES, seeded

LATENT: dict[str, Any] = {
    **SIZES,
    "num_key_value_heads": 4,
    "kv_lora_rank": 12,
    "q_lora_rank": 20,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "max_position_embeddings": 64,
}
EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "deepseek_v2": {**EXPERTS, "topk_method": "greedy"},
    "deepseek_v3": EXPERTS,
    "glm4_moe_lite": EXPERTS,
    "minicpm3": {},
    "youtu": {},
    "longcat_flash": {
        "head_dim": 4,
        "num_layers": 2,
        "expert_ffn_hidden_size": 16,
        "n_routed_experts": 4,
        "moe_topk": 2,
    },
}


def fields(family: str, **more: Any) -> dict[str, Any]:
    """The configuration of a tiny model of a family, in transformers' names."""
    return {"model_type": family, **LATENT, **FAMILIES[family], **more}


def tiny(family: str, **more: Any) -> Any:
    """A tiny model of a family with random weights."""
    found = fields(family, **more)
    config = AutoConfig.for_model(found.pop("model_type"), **found)
    return seeded(AutoModelForCausalLM.from_config, config)
