"""Mixtures of experts behind softmax or sigmoid routers."""

from __future__ import annotations

from tracetui.recipe.gguf.families.common import SIGMOID, Config, layer_count_of, routed
from tracetui.recipe.gguf.families.recurrent import granite_scales
from tracetui.recipe.gguf.keys import Keys


def gpt_oss(keys: Keys, config: Config) -> dict[str, object]:
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
        **routed(keys, "num_local_experts"),
    }


def olmoe(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "olmoe",
        "head_dim": None,
        "clip_qkv": keys.number("attention.clamp_kqv"),
        "norm_topk_prob": keys.flag("expert_weights_norm") or False,
        **routed(keys, "num_experts"),
    }


def deepseek2(keys: Keys, config: Config) -> dict[str, object]:
    turned = keys.needed_integer("rope.dimension_count")
    key_size = keys.integer("attention.key_length_mla") or keys.needed_integer("attention.key_length")
    value_size = keys.integer("attention.value_length_mla") or keys.needed_integer("attention.value_length")
    if key_size <= turned:
        keys.fail("rope.dimension_count", f"must be less than {key_size}, the size of a key")
    is_v3 = keys.integer("expert_gating_func") == SIGMOID or keys.has_tensor(
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
        **routed(keys, "n_routed_experts"),
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


def glm4_moe(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "glm4_moe",
        "use_qk_norm": keys.has_tensor("blk.0.attn_q_norm.weight"),
        "norm_topk_prob": keys.flag("expert_weights_norm") is not False,
        "num_mtp_layers": 0,
        **_beside_shared(keys),
        **routed(keys, "n_routed_experts"),
    }


def dots1(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "dots1",
        "sliding_window": None,
        "norm_topk_prob": keys.flag("expert_weights_norm") or False,
        **_beside_shared(keys),
        **routed(keys, "n_routed_experts"),
    }


def _beside_shared(keys: Keys) -> dict[str, object]:
    """Experts that are chosen in groups beside some that all tokens get, after layers without."""
    return {
        "first_k_dense_replace": keys.integer("leading_dense_block_count") or 0,
        "moe_intermediate_size": keys.needed_integer("expert_feed_forward_length"),
        "n_shared_experts": keys.integer("expert_shared_count") or 0,
        "routed_scaling_factor": keys.number("expert_weights_scale") or 1.0,
        "n_group": keys.integer("expert_group_count") or 1,
        "topk_group": keys.integer("expert_group_used_count") or 1,
    }


def minimax_m2(keys: Keys, config: Config) -> dict[str, object]:
    width = keys.integer("expert_feed_forward_length") or config["intermediate_size"]
    return {"model_type": "minimax_m2", "intermediate_size": width, **routed(keys, "num_local_experts")}


def granite_moe(keys: Keys, config: Config) -> dict[str, object]:
    shared = keys.integer("expert_shared_feed_forward_length")
    return {
        "model_type": "granitemoeshared" if shared else "granitemoe",
        "head_dim": None,
        "shared_intermediate_size": shared or None,
        **granite_scales(keys, config),
        **routed(keys, "num_local_experts"),
    }


def ernie4_5_moe(keys: Keys, config: Config) -> dict[str, object]:
    layers = layer_count_of(config)
    placed = [layer for layer in range(layers) if keys.has_tensor(f"blk.{layer}.ffn_gate_inp.weight")]
    start = keys.integer("leading_dense_block_count") or 0
    step = keys.integer("interleave_moe_layer_step") or 1
    if placed != list(range(start, layers, step)):
        keys.fail("leading_dense_block_count", "must say from which layer on there are experts, and in which")
    counts = routed(keys, "moe_num_experts")
    keys.ignore("expert_shared_feed_forward_length")
    return {
        "model_type": "ernie4_5_moe",
        "head_dim": None,
        "use_bias": keys.has_tensor("blk.0.attn_output.bias"),
        "moe_num_experts": counts["moe_num_experts"],
        "moe_k": counts["num_experts_per_tok"],
        "moe_layer_start_index": start,
        "moe_layer_interval": step,
        "moe_intermediate_size": keys.needed_integer("expert_feed_forward_length"),
        "moe_num_shared_experts": keys.integer("expert_shared_count") or 0,
    }


def hunyuan_moe(keys: Keys, config: Config) -> dict[str, object]:
    counts = routed(keys, "num_experts")
    width = keys.integer("expert_feed_forward_length") or config["intermediate_size"]
    keys.ignore("expert_shared_feed_forward_length", "expert_shared_count", "rope.scaling.original_context_length")
    return {
        "model_type": "hunyuan_v1_moe",
        "intermediate_size": width,
        "num_experts": counts["num_experts"],
        "moe_topk": counts["num_experts_per_tok"],
    }
