"""Architectures of which some or all layers are recurrent: mamba's, its heirs', and short convolutions."""

from __future__ import annotations

import math

from tracetui.recipe.gguf.families.common import (
    Config,
    head_size_of,
    layer_count_of,
    linear_kinds,
    rope_of,
    routed,
    without_keys,
)
from tracetui.recipe.gguf.keys import Keys


def mamba(keys: Keys, config: Config) -> dict[str, object]:
    width, inner = keys.needed_integer("embedding_length"), keys.needed_integer("ssm.inner_size")
    keys.ignore("feed_forward_length", "attention.head_count", "context_length")
    if keys.flag("ssm.dt_b_c_rms"):
        return {"model_type": "falcon_mamba", **_mamba_sizes(keys, width, inner)}
    return {"model_type": "mamba", **_mamba_sizes(keys, width, inner)}


def _mamba_sizes(keys: Keys, width: int, inner: int) -> dict[str, object]:
    if inner % width:
        keys.fail("ssm.inner_size", f"must be a multiple of {width}, the width of the model")
    return {
        "state_size": keys.needed_integer("ssm.state_size"),
        "conv_kernel": keys.needed_integer("ssm.conv_kernel"),
        "time_step_rank": keys.needed_integer("ssm.time_step_rank"),
        "expand": inner // width,
        "layer_norm_epsilon": keys.number("attention.layer_norm_rms_epsilon"),
        "use_conv_bias": keys.has_tensor("blk.0.ssm_conv1d.bias"),
    }


def mamba2(keys: Keys, config: Config) -> dict[str, object]:
    width, inner = keys.needed_integer("embedding_length"), keys.needed_integer("ssm.inner_size")
    heads = keys.needed_integer("ssm.time_step_rank")
    if not heads or inner % heads or inner % width:
        keys.fail("ssm.inner_size", f"must be a multiple of {width}, the width of the model, and of its {heads} heads")
    keys.ignore("feed_forward_length", "attention.head_count", "context_length")
    return {
        "model_type": "mamba2",
        "state_size": keys.needed_integer("ssm.state_size"),
        "conv_kernel": keys.needed_integer("ssm.conv_kernel"),
        "num_heads": heads,
        "head_dim": inner // heads,
        "n_groups": keys.needed_integer("ssm.group_count"),
        "expand": inner // width,
        "layer_norm_epsilon": keys.number("attention.layer_norm_rms_epsilon"),
        "use_conv_bias": keys.has_tensor("blk.0.ssm_conv1d.bias"),
    }


def falcon_h1(keys: Keys, config: Config) -> dict[str, object]:
    """What its configurations multiply by has been multiplied into the weights of such a file."""
    inner, heads = keys.needed_integer("ssm.inner_size"), keys.needed_integer("ssm.time_step_rank")
    return {
        "model_type": "falcon_h1",
        "mamba_d_ssm": inner,
        "mamba_n_heads": heads,
        "mamba_d_head": inner // max(1, heads),
        "mamba_n_groups": keys.needed_integer("ssm.group_count"),
        "mamba_d_state": keys.needed_integer("ssm.state_size"),
        "mamba_d_conv": keys.needed_integer("ssm.conv_kernel"),
        "mamba_conv_bias": keys.has_tensor("blk.0.ssm_conv1d.bias"),
        "mamba_rms_norm": keys.has_tensor("blk.0.ssm_norm.weight"),
        "mamba_norm_before_gate": False,
        **dict.fromkeys(_MULTIPLIERS, 1.0),
    }


_MULTIPLIERS = (
    *("lm_head_multiplier", "embedding_multiplier", "key_multiplier"),
    *("attention_in_multiplier", "attention_out_multiplier", "ssm_in_multiplier", "ssm_out_multiplier"),
)


def jamba(keys: Keys, config: Config) -> dict[str, object]:
    layers, width = layer_count_of(config), keys.needed_integer("embedding_length")
    attends = [not recurrent for recurrent in without_keys(keys, config)]
    has_experts = [keys.has_tensor(f"blk.{layer}.ffn_gate_inp.weight") for layer in range(layers)]
    attention, experts = _period(attends), _period(has_experts)
    if attention is None or (experts is None and any(has_experts)):
        keys.fail("attention.head_count_kv", "must repeat from layer to layer, as transformers has it")
    period, offset = attention
    return {
        "model_type": "jamba",
        "rope_parameters": None,
        "attn_layer_period": period,
        "attn_layer_offset": offset,
        "mamba_d_state": keys.needed_integer("ssm.state_size"),
        "mamba_d_conv": keys.needed_integer("ssm.conv_kernel"),
        "mamba_dt_rank": keys.needed_integer("ssm.time_step_rank"),
        "mamba_expand": keys.needed_integer("ssm.inner_size") // width,
        "mamba_conv_bias": True,
        **(
            {"expert_layer_period": experts[0], "expert_layer_offset": experts[1], **routed(keys, "num_experts")}
            if experts is not None
            else {"num_experts": 1, "num_experts_per_tok": 1}
        ),
    }


def _period(flags: list[bool]) -> tuple[int, int] | None:
    """How many layers lie between two that have something, and the first that does; None where they don't repeat."""
    places = [place for place, flag in enumerate(flags) if flag]
    if not places:
        return None
    period = places[1] - places[0] if len(places) > 1 else max(len(flags), places[0] + 1)
    fits = places == list(range(places[0], len(flags), period)) and places[0] < period
    return (period, places[0]) if fits else None


def granite_hybrid(keys: Keys, config: Config) -> dict[str, object]:
    width, inner = keys.needed_integer("embedding_length"), keys.needed_integer("ssm.inner_size")
    heads = keys.needed_integer("ssm.time_step_rank")
    turns = keys.flag("rope.scaling.finetuned")
    return {
        "model_type": "granitemoehybrid",
        "head_dim": None,
        "layer_types": linear_kinds(without_keys(keys, config)),
        "position_embedding_type": "rope" if turns else None,
        "mamba_n_heads": heads,
        "mamba_d_head": inner // max(1, heads),
        "mamba_expand": inner // max(1, width),
        "mamba_n_groups": keys.needed_integer("ssm.group_count"),
        "mamba_d_state": keys.needed_integer("ssm.state_size"),
        "mamba_d_conv": keys.needed_integer("ssm.conv_kernel"),
        "mamba_conv_bias": keys.has_tensor("blk.0.ssm_conv1d.bias"),
        "num_local_experts": keys.integer("expert_count") or 0,
        "num_experts_per_tok": keys.integer("expert_used_count") or 0,
        "shared_intermediate_size": keys.integer("expert_shared_feed_forward_length") or config["intermediate_size"],
        **granite_scales(keys, config),
    }


def granite_scales(keys: Keys, config: Config) -> dict[str, object]:
    """What Granite's parts are multiplied by."""
    return {
        "attention_multiplier": keys.number("attention.scale") or 1 / math.sqrt(head_size_of(config)),
        "embedding_multiplier": keys.number("embedding_scale") or 1.0,
        "residual_multiplier": keys.number("residual_scale") or 1.0,
        "logits_scaling": keys.number("logit_scale") or 1.0,
    }


def nemotron_h(keys: Keys, config: Config) -> dict[str, object]:
    layers = layer_count_of(config)
    recurrent = without_keys(keys, config)
    widths = keys.integers("feed_forward_length", layers)
    kinds = []
    for layer in range(layers):
        if keys.has_tensor(f"blk.{layer}.ffn_gate_inp.weight"):
            kinds.append("moe")
        elif widths[layer]:
            kinds.append("mlp")
        else:
            kinds.append("linear_attention" if recurrent[layer] else "full_attention")
    inner, heads = keys.needed_integer("ssm.inner_size"), keys.needed_integer("ssm.time_step_rank")
    keys.ignore("attention.layer_norm_epsilon", "rope.scaling.finetuned")
    return {
        "model_type": "nemotron_h",
        "layers_block_type": kinds,
        "num_hidden_layers": None,
        "layer_norm_epsilon": keys.number("attention.layer_norm_rms_epsilon"),
        "ssm_state_size": keys.needed_integer("ssm.state_size"),
        "mamba_num_heads": heads,
        "mamba_head_dim": inner // max(1, heads),
        "n_groups": keys.needed_integer("ssm.group_count"),
        "conv_kernel": keys.needed_integer("ssm.conv_kernel"),
        "use_conv_bias": True,
        **(_nemotron_experts(keys) if "moe" in kinds else {}),
    }


def _nemotron_experts(keys: Keys) -> dict[str, object]:
    return {
        "moe_intermediate_size": keys.needed_integer("expert_feed_forward_length"),
        "moe_shared_expert_intermediate_size": keys.needed_integer("expert_shared_feed_forward_length"),
        "moe_latent_size": keys.integer("moe_latent_size"),
        "n_shared_experts": keys.integer("expert_shared_count") or 0,
        "routed_scaling_factor": keys.number("expert_weights_scale") or 1.0,
        "norm_topk_prob": keys.flag("expert_weights_norm") or False,
        "n_group": keys.integer("expert_group_count") or 1,
        "topk_group": keys.integer("expert_group_used_count") or 1,
        **routed(keys, "n_routed_experts"),
    }


def lfm2(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "lfm2",
        "head_dim": None,
        "layer_types": _convolution_kinds(keys, config),
        "conv_L_cache": keys.needed_integer("shortconv.l_cache"),
        "norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "block_auto_adjust_ff_dim": False,
        "conv_bias": False,
    }


def lfm2_moe(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "lfm2_moe",
        "head_dim": None,
        "layer_types": _convolution_kinds(keys, config),
        "conv_L_cache": keys.needed_integer("shortconv.l_cache"),
        "norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "num_dense_layers": keys.integer("leading_dense_block_count") or 0,
        "moe_intermediate_size": keys.needed_integer("expert_feed_forward_length"),
        "use_expert_bias": True,
        "norm_topk_prob": True,
        **routed(keys, "num_experts"),
    }


def _convolution_kinds(keys: Keys, config: Config) -> list[str]:
    return ["conv" if kind else "full_attention" for kind in without_keys(keys, config)]


def qwen_linear(keys: Keys) -> dict[str, object]:
    """The sizes of Qwen's linear attention, which are kept under mamba's names."""
    inner, values = keys.needed_integer("ssm.inner_size"), keys.needed_integer("ssm.time_step_rank")
    return {
        "linear_conv_kernel_dim": keys.needed_integer("ssm.conv_kernel"),
        "linear_key_head_dim": keys.needed_integer("ssm.state_size"),
        "linear_value_head_dim": inner // max(1, values),
        "linear_num_key_heads": keys.needed_integer("ssm.group_count"),
        "linear_num_value_heads": values,
    }


def with_sections(keys: Keys, config: Config) -> dict[str, object]:
    """RoPE for three axes of pictures, which of a text are one."""
    sections = keys.numbers("rope.dimension_sections")
    rope = rope_of(config)
    if sections is None or len(sections) < 3:
        return rope
    return {**rope, "mrope_section": [int(part) for part in sections[:3]], "mrope_interleaved": True}
