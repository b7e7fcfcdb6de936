"""What architectures of llama.cpp are in transformers: the type, and the fields that not all of them have.

Where a file is silent, its model runs as llama.cpp runs it. https://github.com/ggml-org/llama.cpp/tree/master/src/models
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tracetui.recipe.gguf.keys import Keys

Config = Mapping[str, object]
Family = Callable[[Keys, Config], dict[str, object]]
"""From the keys, and the fields that nearly all families have, to what is added and changed."""

_SIGMOID = 2
"""Of `expert_gating_func`."""
_GEMMA3_PERIOD = 6
"""One layer of so many sees everything."""
_GEMMA2_27B, _GEMMA3_27B = 46, 62
"""Layers of those whose queries are scaled by the width for each head instead of its own size, as llama.cpp tells."""


def _llama(keys: Keys, config: Config) -> dict[str, object]:
    if keys.integer("expert_count"):
        return {"model_type": "mixtral", **_routed(keys, "num_local_experts")}
    keys.ignore("expert_used_count")
    return {"model_type": "llama", "mlp_bias": keys.has_tensor("blk.0.ffn_up.bias")}


def _granite(keys: Keys, config: Config) -> dict[str, object]:
    head_size = config["head_dim"]
    assert isinstance(head_size, int)
    keys.ignore("expert_count", "expert_used_count", "expert_shared_feed_forward_length")
    return {
        "model_type": "granite",
        "head_dim": None,
        "mlp_bias": keys.has_tensor("blk.0.ffn_up.bias"),
        "attention_multiplier": keys.number("attention.scale") or 1 / math.sqrt(head_size),
        "embedding_multiplier": keys.number("embedding_scale") or 1.0,
        "residual_multiplier": keys.number("residual_scale") or 1.0,
        "logits_scaling": keys.number("logit_scale") or 1.0,
    }


def _qwen2(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "qwen2", "head_dim": None, "use_sliding_window": False}


def _qwen2_moe(keys: Keys, config: Config) -> dict[str, object]:
    shared = keys.integer("expert_shared_feed_forward_length") or keys.integer("feed_forward_length")
    return {
        "model_type": "qwen2_moe",
        "head_dim": None,
        "use_sliding_window": False,
        "moe_intermediate_size": keys.integer("expert_feed_forward_length") or _part_for_each_expert(keys),
        "shared_expert_intermediate_size": shared,
        "norm_topk_prob": keys.flag("expert_weights_norm") or False,
        **_routed(keys, "num_experts"),
    }


def _part_for_each_expert(keys: Keys) -> int:
    """What older files leave to be computed."""
    return keys.needed_integer("feed_forward_length") // max(1, keys.needed_integer("expert_used_count"))


def _qwen3(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "qwen3", "use_sliding_window": False}


def _qwen3_moe(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "qwen3_moe",
        "use_sliding_window": False,
        "moe_intermediate_size": keys.needed_integer("expert_feed_forward_length"),
        "norm_topk_prob": True,
        **_routed(keys, "num_experts"),
    }


def _gemma(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "gemma"}


def _gemma2(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "gemma2",
        "sliding_window": keys.integer("attention.sliding_window") or 4096,
        "attn_logit_softcapping": keys.positive("attn_logit_softcapping") or 50.0,
        "final_logit_softcapping": keys.positive("final_logit_softcapping") or 30.0,
        "query_pre_attn_scalar": _attention_scalar(config, _GEMMA2_27B),
    }


def _gemma3(keys: Keys, config: Config) -> dict[str, object]:
    window, layers = keys.integer("attention.sliding_window"), config["num_hidden_layers"]
    theta = keys.positive("rope.freq_base_swa") or 10_000.0
    assert isinstance(layers, int)
    pattern = keys.pattern("attention.sliding_window_pattern", _GEMMA3_PERIOD, layers)
    kinds = [_window_kind(bool(window) and slides) for slides in pattern]
    sliding = {"rope_type": "default", "rope_theta": theta}
    return {
        "model_type": "gemma3_text",
        "sliding_window": window or 4096,
        "layer_types": kinds,
        "final_logit_softcapping": keys.number("final_logit_softcapping") or None,
        "query_pre_attn_scalar": _attention_scalar(config, _GEMMA3_27B),
        "rope_parameters": {"full_attention": config["rope_parameters"], "sliding_attention": sliding},
    }


def _window_kind(slides: bool) -> str:
    return "sliding_attention" if slides else "full_attention"


def _attention_scalar(config: Config, layers_of_27b: int) -> int:
    """Whose root queries are divided by."""
    width, heads, head_size = (config[name] for name in ("hidden_size", "num_attention_heads", "head_dim"))
    assert isinstance(width, int)
    assert isinstance(heads, int)
    assert isinstance(head_size, int)
    return width // heads if config["num_hidden_layers"] == layers_of_27b else head_size


def _phi3(keys: Keys, config: Config) -> dict[str, object]:
    keys.ignore("attention.sliding_window")  # llama.cpp doesn't apply it, and some files have it wrong
    original = keys.integer("rope.scaling.original_context_length")
    return {
        "model_type": "phi3",
        "head_dim": None,
        "original_max_position_embeddings": original or config["max_position_embeddings"],
        "sliding_window": None,
    }


def _glm4(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "glm4"}


def _gpt_oss(keys: Keys, config: Config) -> dict[str, object]:
    rope = config["rope_parameters"]
    assert isinstance(rope, dict)
    keys.ignore("expert_feed_forward_length")
    return {
        "model_type": "gpt_oss",
        "attention_bias": True,
        "intermediate_size": keys.integer("expert_feed_forward_length") or keys.integer("feed_forward_length"),
        "sliding_window": keys.needed_integer("attention.sliding_window"),
        # llama.cpp rounds where its scaling begins, the model itself doesn't.
        "rope_parameters": {**rope, "truncate": False} if rope["rope_type"] == "yarn" else rope,
        **_routed(keys, "num_local_experts"),
    }


def _olmo2(keys: Keys, config: Config) -> dict[str, object]:
    window, slides = keys.integer("attention.sliding_window"), keys.numbers("attention.sliding_window_pattern")
    if window is None or slides is None:
        return {"model_type": "olmo2", "head_dim": None}
    return {
        "model_type": "olmo3",
        "head_dim": None,
        "sliding_window": window,
        "layer_types": [_window_kind(bool(slide)) for slide in slides.tolist()],
    }


def _olmoe(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "olmoe",
        "head_dim": None,
        "clip_qkv": keys.number("attention.clamp_kqv"),
        "norm_topk_prob": keys.flag("expert_weights_norm") or False,
        **_routed(keys, "num_experts"),
    }


def _smollm3(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "smollm3", "use_sliding_window": False, "no_rope_layer_interval": 4}


def _deepseek2(keys: Keys, config: Config) -> dict[str, object]:
    turned = keys.needed_integer("rope.dimension_count")
    key_size = keys.integer("attention.key_length_mla") or keys.needed_integer("attention.key_length")
    value_size = keys.integer("attention.value_length_mla") or keys.needed_integer("attention.value_length")
    if key_size <= turned:
        keys.fail("rope.dimension_count", f"must be less than {key_size}, the size of a key")
    is_v3 = keys.integer("expert_gating_func") == _SIGMOID or keys.has_tensor(
        f"blk.{keys.integer('leading_dense_block_count') or 0}.exp_probs_b.bias"
    )
    groups, used = keys.integer("expert_group_count") or 1, keys.integer("expert_group_used_count") or 1
    fields = {
        "model_type": "deepseek_v3" if is_v3 else "deepseek_v2",
        "num_key_value_heads": config["num_attention_heads"],
        "head_dim": None if is_v3 else turned,
        "kv_lora_rank": keys.needed_integer("attention.kv_lora_rank"),
        "q_lora_rank": keys.integer("attention.q_lora_rank"),
        "qk_rope_head_dim": turned,
        "qk_nope_head_dim": key_size - turned,
        "v_head_dim": value_size,
        "first_k_dense_replace": keys.integer("leading_dense_block_count") or 0,
        "moe_intermediate_size": keys.needed_integer("expert_feed_forward_length"),
        "n_shared_experts": keys.integer("expert_shared_count") or 0,
        "routed_scaling_factor": keys.number("expert_weights_scale") or 1.0,
        "norm_topk_prob": keys.flag("expert_weights_norm") or False,
        "n_group": groups,
        "topk_group": used,
        "rope_parameters": _with_scale_of_scores(keys, config),
        **_routed(keys, "n_routed_experts"),
    }
    return fields if is_v3 else {**fields, "topk_method": "group_limited_greedy" if groups > 1 else "greedy"}


def _with_scale_of_scores(keys: Keys, config: Config) -> dict[str, object]:
    """YaRN's scale of the scores, which llama.cpp keeps a tenth of."""
    rope = config["rope_parameters"]
    assert isinstance(rope, dict)
    tenth = keys.number("rope.scaling.yarn_log_multiplier")
    if rope["rope_type"] != "yarn" or not tenth:
        return rope
    scale = round(10 * tenth, 6)
    return {**rope, "mscale": scale, "mscale_all_dim": scale}


def _routed(keys: Keys, name: str) -> dict[str, object]:
    keys.ignore("expert_weights_norm", "expert_gating_func", "moe_every_n_layers")
    return {name: keys.needed_integer("expert_count"), "num_experts_per_tok": keys.needed_integer("expert_used_count")}


FAMILIES: Mapping[str, Family] = {
    "llama": _llama,
    "granite": _granite,
    "qwen2": _qwen2,
    "qwen2moe": _qwen2_moe,
    "qwen3": _qwen3,
    "qwen3moe": _qwen3_moe,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "phi3": _phi3,
    "deepseek2": _deepseek2,
    "glm4": _glm4,
    "gpt-oss": _gpt_oss,
    "olmo2": _olmo2,
    "olmoe": _olmoe,
    "smollm3": _smollm3,
}
"""By `general.architecture`."""
