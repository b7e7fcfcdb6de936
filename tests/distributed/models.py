"""Tiny models of transformers whose heads, columns and experts can be shared out among two and four ranks."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers

IDS = torch.tensor([[5, 31, 7, 7, 0, 42, 56, 3, 99]])
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 101,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
_ROUTED: dict[str, Any] = {"moe_intermediate_size": 16, "num_experts_per_tok": 2}
_LATENT: dict[str, Any] = {
    "q_lora_rank": 12,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 4,
    "num_key_value_heads": 8,
}
_OWN: dict[str, dict[str, Any]] = {
    "Llama": {},
    "GPT2": {},
    "GptOss": {"num_local_experts": 8, "head_dim": 4},
    "Qwen2": {},
    "Qwen3": {"head_dim": 4},
    "Phi3": {},
    "Mixtral": {"num_local_experts": 8},
    "Qwen2Moe": {"num_experts": 8, "shared_expert_intermediate_size": 24, **_ROUTED},
    "DeepseekV3": {
        "n_routed_experts": 8,
        "first_k_dense_replace": 1,
        "n_group": 2,
        "topk_group": 1,
        **_ROUTED,
        **_LATENT,
    },
}


@cache
def whole(family: str) -> Any:
    """A model of a family with weights of its own, all of which are here; nobody may change it but in a fork."""
    torch.manual_seed(len(family))
    return getattr(transformers, f"{family}ForCausalLM")(config_of(family)).eval()


def config_of(family: str) -> Any:
    """The configuration of a family's tiny model."""
    return getattr(transformers, f"{family}Config")(**{**_SIZES, **_OWN[family]})
