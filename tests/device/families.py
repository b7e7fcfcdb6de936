"""Tiny models of families that compute in different ways, as recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.tracer import latent_models, mixture_models
from tests.tracer.models import SIZES
from tracetui.recipe import Layers, Prompts, Recipe

_MAMBA: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "state_size": 4,
    "pad_token_id": 0,
}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "llama": SIZES,
    "qwen3": {**SIZES, "head_dim": 8},
    "gemma2": {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4},
    "gemma3_text": {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4},
    "mistral": {**SIZES, "sliding_window": 3, "head_dim": 8},
    "phi3": {**SIZES, "head_dim": 8},
    "gpt2": {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "bloom": {"vocab_size": 61, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "mixtral": mixture_models.fields("mixtral"),
    "qwen2_moe": mixture_models.fields("qwen2_moe"),
    "gpt_oss": mixture_models.fields("gpt_oss"),
    "deepseek_v3": latent_models.fields("deepseek_v3"),
    "mamba": _MAMBA,
    "mamba2": {**_MAMBA, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 4},
}
"""By family, what its configuration says."""
TOKENS = (5, 9, 2, 44, 17, 3)


def recipe(family: str, **fields: Any) -> Recipe:
    """A tiny model of a family with random weights, in float32 unless something else is said."""
    config = {**CONFIGS[family], "model_type": family}
    count = int(config.get("num_hidden_layers") or config["n_layer"])
    made = Recipe(
        name=family,
        title=family,
        origin=f"{family}.toml",
        config=config,
        layers=Layers(0, count),
        dtype="float32",
        prompts=Prompts(ids=(TOKENS,)),
    )
    return replace(made, **fields)
