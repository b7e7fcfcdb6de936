"""What llama.cpp's converter writes of a configuration for single families, with gguf's own writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gguf
import torch
from gguf import GGUFWriter


def write_keys(writer: GGUFWriter, config: Any) -> None:
    """A family's own keys, if it has any."""
    if (write := _OF_FAMILY.get(config.model_type)) is not None:
        write(writer, config)


def head_size(config: Any, kind: str = "full_attention") -> int:
    """Of layers of a kind, where not all are alike."""
    if config.model_type == "gemma4_text":
        return int(config.per_layer_config[config.layer_types.index(kind)].head_dim)
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def heads_of_keys(config: Any) -> int | list[int]:
    """One number, or that of each layer where only some have attention, or not all have as many."""
    if config.model_type == "gemma4_text":
        return [config.per_layer_config[layer].num_key_value_heads for layer in range(config.num_hidden_layers)]
    count = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    kinds = getattr(config, "layers_block_type", None) or getattr(config, "layer_types", None) or ()
    if config.model_type not in _SOME_ATTEND:
        return int(count)
    return [count if kind in ("attention", "full_attention") else 0 for kind in kinds]


_SOME_ATTEND = ("jamba", "granitemoehybrid", "nemotron_h", "lfm2", "lfm2_moe")


def _write_linear(writer: GGUFWriter, config: Any) -> None:
    writer.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
    writer.add_ssm_state_size(config.linear_key_head_dim)
    writer.add_ssm_group_count(config.linear_num_key_heads)
    writer.add_ssm_time_step_rank(config.linear_num_value_heads)
    writer.add_ssm_inner_size(config.linear_value_head_dim * config.linear_num_value_heads)
    full = [layer for layer, kind in enumerate(config.layer_types) if kind == "full_attention"]
    writer.add_full_attention_interval(full[0] + 1)
    if config.model_type != "qwen3_next":
        writer.add_rope_dimension_sections([11, 11, 10, 0])


def _write_gemma3n(writer: GGUFWriter, config: Any) -> None:
    writer.add_altup_active_idx(config.altup_active_idx)
    writer.add_altup_num_inputs(config.altup_num_inputs)
    writer.add_embedding_length_per_layer_input(config.hidden_size_per_layer_input)
    writer.add_shared_kv_layers(config.num_kv_shared_layers)
    shares = torch.tensor(config.activation_sparsity_pattern)
    writer.add_activation_sparsity_scale(torch.special.ndtri(shares).tolist())
    writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])


def _write_gemma4(writer: GGUFWriter, config: Any) -> None:
    writer.add_shared_kv_layers(config.num_kv_shared_layers)
    writer.add_embedding_length_per_layer_input(config.hidden_size_per_layer_input or 0)
    writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
    size = head_size(config, "sliding_attention")
    writer.add_key_length_swa(size)
    writer.add_value_length_swa(size)
    writer.add_rope_dimension_count_swa(size)


def _write_mamba(writer: GGUFWriter, config: Any) -> None:
    writer.add_ssm_conv_kernel(config.conv_kernel)
    writer.add_ssm_inner_size(config.expand * config.hidden_size)
    writer.add_ssm_state_size(config.state_size)
    if config.model_type == "mamba2":
        writer.add_ssm_time_step_rank(config.num_heads)
        writer.add_ssm_group_count(config.n_groups)
        return
    writer.add_ssm_time_step_rank(config.time_step_rank)
    writer.add_ssm_dt_b_c_rms(config.model_type == "falcon_mamba")


def _write_inner(writer: GGUFWriter, config: Any) -> None:
    """Of mamba's second kind within other models."""
    writer.add_ssm_conv_kernel(config.mamba_d_conv)
    writer.add_ssm_state_size(config.mamba_d_state)
    writer.add_ssm_group_count(config.mamba_n_groups)
    writer.add_ssm_time_step_rank(config.mamba_n_heads)
    writer.add_ssm_inner_size(config.mamba_n_heads * config.mamba_d_head)
    if config.model_type == "granitemoehybrid":
        writer.add_rope_scaling_finetuned(config.position_embedding_type == "rope")
        if config.shared_intermediate_size:
            writer.add_expert_shared_feed_forward_length(config.shared_intermediate_size)


def _write_jamba(writer: GGUFWriter, config: Any) -> None:
    writer.add_ssm_conv_kernel(config.mamba_d_conv)
    writer.add_ssm_inner_size(config.mamba_expand * config.hidden_size)
    writer.add_ssm_state_size(config.mamba_d_state)
    writer.add_ssm_time_step_rank(config.mamba_dt_rank)


def _write_nemotron_h(writer: GGUFWriter, config: Any) -> None:
    writer.add_ssm_conv_kernel(config.conv_kernel)
    writer.add_ssm_state_size(config.ssm_state_size)
    writer.add_ssm_group_count(config.n_groups)
    writer.add_ssm_time_step_rank(config.mamba_num_heads)
    writer.add_ssm_inner_size(config.mamba_num_heads * config.mamba_head_dim)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    if "moe" in config.layers_block_type:
        writer.add_expert_shared_feed_forward_length(config.moe_shared_expert_intermediate_size)
        writer.add_expert_shared_count(config.n_shared_experts)
        writer.add_expert_weights_norm(config.norm_topk_prob)
        writer.add_expert_weights_scale(config.routed_scaling_factor)
        writer.add_expert_group_count(config.n_group)


def _write_lfm2(writer: GGUFWriter, config: Any) -> None:
    writer.add_shortconv_l_cache(config.conv_L_cache)
    if config.model_type == "lfm2_moe":
        writer.add_leading_dense_block_count(config.num_dense_layers)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def _write_beside_shared(writer: GGUFWriter, config: Any) -> None:
    writer.add_leading_dense_block_count(config.first_k_dense_replace)
    writer.add_expert_shared_count(config.n_shared_experts)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    writer.add_expert_weights_norm(config.norm_topk_prob)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def _write_ernie_moe(writer: GGUFWriter, config: Any) -> None:
    writer.add_expert_count(config.moe_num_experts)
    writer.add_expert_used_count(config.moe_k)
    writer.add_interleave_moe_layer_step(config.moe_layer_interval)
    writer.add_leading_dense_block_count(config.moe_layer_start_index)
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    writer.add_expert_shared_count(config.moe_num_shared_experts)
    writer.add_expert_shared_feed_forward_length(config.moe_num_shared_experts * config.moe_intermediate_size)


def _write_hunyuan_moe(writer: GGUFWriter, config: Any) -> None:
    writer.add_expert_shared_feed_forward_length(config.intermediate_size)
    writer.add_expert_feed_forward_length(config.intermediate_size)
    writer.add_expert_shared_count(1)
    writer.add_expert_count(config.num_experts)
    writer.add_expert_used_count(config.moe_topk)


def _write_minimax(writer: GGUFWriter, config: Any) -> None:
    writer.add_expert_feed_forward_length(config.intermediate_size)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def _write_ministral(writer: GGUFWriter, config: Any) -> None:
    writer.add_rope_scaling_yarn_log_mul(config.rope_parameters["mscale_all_dim"])
    writer.add_attn_temperature_scale(config.rope_parameters["llama_4_scaling_beta"])


def _write_layer_norm(writer: GGUFWriter, config: Any) -> None:
    names = ("layer_norm_eps", "norm_epsilon", "norm_eps", "layer_norm_epsilon")
    writer.add_layer_norm_eps(next((getattr(config, name) for name in names if hasattr(config, name)), 1e-5))
    if hasattr(config, "logit_scale"):
        writer.add_logit_scale(config.logit_scale)
    if config.model_type == "stablelm":
        writer.add_parallel_residual(config.use_parallel_residual)


def _write_granite_moe(writer: GGUFWriter, config: Any) -> None:
    writer.add_expert_shared_feed_forward_length(config.shared_intermediate_size)


_OF_FAMILY: Mapping[str, Callable[[GGUFWriter, Any], None]] = {
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), _write_linear),
    **dict.fromkeys(("mamba", "falcon_mamba", "mamba2"), _write_mamba),
    **dict.fromkeys(("falcon_h1", "granitemoehybrid"), _write_inner),
    **dict.fromkeys(("lfm2", "lfm2_moe"), _write_lfm2),
    **dict.fromkeys(("glm4_moe", "dots1"), _write_beside_shared),
    **dict.fromkeys(
        ("cohere", "cohere2", "starcoder2", "stablelm", "gpt2", "olmo", "nemotron", "phi"), _write_layer_norm
    ),
    "gemma3n_text": _write_gemma3n,
    "gemma4_text": _write_gemma4,
    "jamba": _write_jamba,
    "nemotron_h": _write_nemotron_h,
    "ernie4_5_moe": _write_ernie_moe,
    "hunyuan_v1_moe": _write_hunyuan_moe,
    "minimax_m2": _write_minimax,
    "ministral3": _write_ministral,
    "granitemoeshared": _write_granite_moe,
}
