"""Qwen's architectures: dense, of experts, and those of which most layers have linear attention."""

from __future__ import annotations

from tracetui.recipe.gguf.families.common import Config, layer_count_of, linear_kinds, routed
from tracetui.recipe.gguf.families.recurrent import qwen_linear, with_sections
from tracetui.recipe.gguf.keys import Keys

_FULL_EVERY = 4
"""One layer of so many has full attention, where a file doesn't say."""


def qwen2(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "qwen2", "head_dim": None, "use_sliding_window": False}


def qwen2_moe(keys: Keys, config: Config) -> dict[str, object]:
    shared = keys.integer("expert_shared_feed_forward_length") or keys.integer("feed_forward_length")
    return {
        "model_type": "qwen2_moe",
        "head_dim": None,
        "use_sliding_window": False,
        "moe_intermediate_size": keys.integer("expert_feed_forward_length") or _part_for_each_expert(keys),
        "shared_expert_intermediate_size": shared,
        "norm_topk_prob": keys.flag("expert_weights_norm") or False,
        **routed(keys, "num_experts"),
    }


def _part_for_each_expert(keys: Keys) -> int:
    """What older files leave to be computed."""
    return keys.needed_integer("feed_forward_length") // max(1, keys.needed_integer("expert_used_count"))


def qwen3(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "qwen3", "use_sliding_window": False}


def qwen3_moe(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "qwen3_moe",
        "use_sliding_window": False,
        "moe_intermediate_size": keys.needed_integer("expert_feed_forward_length"),
        "norm_topk_prob": True,
        **routed(keys, "num_experts"),
    }


def qwen3_next(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "qwen3_next", **_linear(keys, config), **_with_shared(keys)}


def qwen3_5(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "qwen3_5_text", **_linear(keys, config), "rope_parameters": with_sections(keys, config)}


def qwen3_5_moe(keys: Keys, config: Config) -> dict[str, object]:
    rope = {"rope_parameters": with_sections(keys, config)}
    return {"model_type": "qwen3_5_moe_text", **_linear(keys, config), **_with_shared(keys), **rope}


def _linear(keys: Keys, config: Config) -> dict[str, object]:
    layers = layer_count_of(config)
    each = keys.numbers("attention.recurrent_layers")
    period = keys.integer("full_attention_interval") or _FULL_EVERY
    recurrent = [(layer + 1) % period != 0 for layer in range(layers)]
    if each is not None and len(each) >= layers:
        recurrent = [bool(kind) for kind in each[:layers].tolist()]
    return {"layer_types": linear_kinds(recurrent), **qwen_linear(keys)}


def _with_shared(keys: Keys) -> dict[str, object]:
    return {
        "moe_intermediate_size": keys.needed_integer("expert_feed_forward_length"),
        "shared_expert_intermediate_size": keys.needed_integer("expert_shared_feed_forward_length"),
        "norm_topk_prob": True,
        **routed(keys, "num_experts"),
    }
