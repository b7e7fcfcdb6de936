"""Llama's architecture, and those that differ from it in norms, biases or scales: all dense."""

from __future__ import annotations

from tracetui.recipe.gguf.families.common import Config, head_size_of, layer_count_of, rope_of, routed, window_kinds
from tracetui.recipe.gguf.families.recurrent import granite_scales
from tracetui.recipe.gguf.keys import Keys

_EXAONE_PERIOD = 4
"""One layer of so many sees everything, of those with a window."""


def llama(keys: Keys, config: Config) -> dict[str, object]:
    if keys.integer("expert_count"):
        return {"model_type": "mixtral", **routed(keys, "num_local_experts")}
    keys.ignore("expert_used_count")
    return {"model_type": "llama", "mlp_bias": keys.has_tensor("blk.0.ffn_up.bias")}


def mistral3(keys: Keys, config: Config) -> dict[str, object]:
    """Its queries grow with their position, by a factor that stands among RoPE's."""
    rope = rope_of(config)
    beta = keys.number("attention.temperature_scale")
    if keys.integer("expert_count"):
        keys.fail("expert_count", "must be 0: transformers' Ministral has no experts")
    if beta is None or rope["rope_type"] != "yarn":
        return {"model_type": "ministral3" if beta else "mistral", "sliding_window": None}
    length = keys.integer("rope.scaling.original_context_length") or config["max_position_embeddings"]
    multiplier = keys.number("rope.scaling.yarn_log_multiplier")
    scale = {"mscale": multiplier, "mscale_all_dim": multiplier} if multiplier else {}
    rope = {**rope, **scale, "llama_4_scaling_beta": beta, "original_max_position_embeddings": length}
    keys.ignore("attention.temperature_length")
    return {"model_type": "ministral3", "sliding_window": None, "rope_parameters": rope}


def granite(keys: Keys, config: Config) -> dict[str, object]:
    keys.ignore("expert_count", "expert_used_count", "expert_shared_feed_forward_length")
    return {
        "model_type": "granite",
        "head_dim": None,
        "mlp_bias": keys.has_tensor("blk.0.ffn_up.bias"),
        **granite_scales(keys, config),
    }


def phi3(keys: Keys, config: Config) -> dict[str, object]:
    keys.ignore("attention.sliding_window")  # llama.cpp doesn't apply it, and some files have it wrong
    original = keys.integer("rope.scaling.original_context_length")
    return {
        "model_type": "phi3",
        "head_dim": None,
        "original_max_position_embeddings": original or config["max_position_embeddings"],
        "sliding_window": None,
    }


def glm4(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "glm4"}


def olmo2(keys: Keys, config: Config) -> dict[str, object]:
    window, slides = keys.integer("attention.sliding_window"), keys.numbers("attention.sliding_window_pattern")
    if window is None or slides is None:
        return {"model_type": "olmo2", "head_dim": None}
    kinds = window_kinds(keys, config, 1)
    return {"model_type": "olmo3", "head_dim": None, "sliding_window": window, "layer_types": kinds}


def smollm3(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "smollm3", "use_sliding_window": False, "no_rope_layer_interval": 4}


def arcee(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "arcee", "mlp_bias": keys.has_tensor("blk.0.ffn_up.bias")}


def seed_oss(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "seed_oss", "attention_out_bias": keys.has_tensor("blk.0.attn_output.bias")}


def ernie4_5(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "ernie4_5", "use_bias": keys.has_tensor("blk.0.attn_output.bias")}


def hunyuan_dense(keys: Keys, config: Config) -> dict[str, object]:
    keys.ignore("rope.scaling.original_context_length")
    return {"model_type": "hunyuan_v1_dense"}


def exaone4(keys: Keys, config: Config) -> dict[str, object]:
    window = keys.integer("attention.sliding_window")
    if not window:
        keys.ignore("attention.sliding_window_pattern")
        kinds = ["full_attention"] * layer_count_of(config)
        return {"model_type": "exaone4", "head_dim": head_size_of(config), "sliding_window": None, "layer_types": kinds}
    kinds = window_kinds(keys, config, _EXAONE_PERIOD)
    return {"model_type": "exaone4", "sliding_window": window, "layer_types": kinds}
