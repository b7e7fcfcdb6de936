"""Every architecture that is read: its tensors are those of the converted model to the bit, and so are its logits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.gguf.convert import exact_model, write_gguf
from tests.models.hf_files import LLAMA
from tracetui.models.runnable import Runnable, make_runnable
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

IDS = [5, 319, 17, 17, 0, 42, 256, 3, 99, 100, 101]
_LATENT = {
    **LLAMA, "num_key_value_heads": 4, "q_lora_rank": 24, "kv_lora_rank": 32, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8, "v_head_dim": 12,
    "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "n_shared_experts": 1,
    "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5,
}  # fmt: skip
_YARN = {
    "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32,
}  # fmt: skip
_MOE = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_HALF_TURNED = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
_FACTORS = [1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0]
_QUARTER_TURNED = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.25}
_SCALES = {
    "attention_multiplier": 0.25, "embedding_multiplier": 12.0, "residual_multiplier": 0.22, "logits_scaling": 8.0,
}  # fmt: skip
_HYBRID = {
    **LLAMA, **_SCALES, "shared_intermediate_size": 40, "mamba_n_heads": 8, "mamba_n_groups": 2, "mamba_d_state": 8,
    "mamba_d_head": 16, "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}  # fmt: skip
_FALCON_H1 = {
    **LLAMA, "head_dim": 16, "mamba_d_ssm": 96, "mamba_n_heads": 6, "mamba_n_groups": 2, "mamba_d_state": 8,
    "mamba_d_head": 16, "mamba_rms_norm": True, "mamba_norm_before_gate": False, "key_multiplier": 0.5,
    "lm_head_multiplier": 0.25, "embedding_multiplier": 4.0, "mlp_multipliers": [0.5, 2.0],
    "attention_in_multiplier": 2.0, "attention_out_multiplier": 0.5, "ssm_in_multiplier": 0.5,
    "ssm_out_multiplier": 2.0, "ssm_multipliers": [0.5, 0.25, 2.0, 0.5, 4.0],
}  # fmt: skip
_LINEAR = {
    **LLAMA, "head_dim": 32, "num_hidden_layers": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
}  # fmt: skip
_SHARED = {
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 32,
}  # fmt: skip
_GEMMA4 = {
    **LLAMA, "head_dim": 16, "global_head_dim": 32, "num_hidden_layers": 6, "sliding_window": 5,
    "final_logit_softcapping": 30.0, "pad_token_id": 0,
}  # fmt: skip
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", {"rope_theta": 500_000.0}),
    "llama tied, with biases": ("llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "llama, heads wider": ("llama", {"head_dim": 24}),
    "llama 3": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
            },
            "max_position_embeddings": 1024,
        },
    ),
    "llama, linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
    "llama, yarn": ("llama", {"rope_parameters": _YARN}),
    "mistral": ("mistral", {**LLAMA, "sliding_window": None}),
    "mixtral": ("mixtral", {}),
    "granite": (
        "granite",
        {
            **LLAMA, "attention_multiplier": 0.25, "embedding_multiplier": 12.0, "residual_multiplier": 0.22,
            "logits_scaling": 8.0,
        },
    ),
    "qwen2": ("qwen2", {}),
    "qwen2moe": ("qwen2_moe", {}),
    "qwen3": ("qwen3", {**LLAMA, "head_dim": 24}),
    "qwen3moe": (
        "qwen3_moe",
        {**LLAMA, **_MOE, "head_dim": 24, "norm_topk_prob": True},
    ),
    "gemma": ("gemma", {**LLAMA, "head_dim": 24}),
    "gemma2": ("gemma2", {"query_pre_attn_scalar": 16}),
    "gemma3": (
        "gemma3_text",
        {**LLAMA, "head_dim": 16, "sliding_window": 5, "num_hidden_layers": 7, "query_pre_attn_scalar": 16},
    ),
    "phi3": ("phi3", {"sliding_window": None, "original_max_position_embeddings": 128}),
    "phi3, long and partly turned": (
        "phi3",
        {
            "sliding_window": None, "max_position_embeddings": 512, "original_max_position_embeddings": 8,
            "rope_parameters": {
                "rope_type": "longrope", "rope_theta": 1e4, "long_factor": _FACTORS[:6], "short_factor": [1.0] * 6,
                "original_max_position_embeddings": 8, "partial_rotary_factor": 0.75,
            },
        },
    ),
    "deepseek_v2": ("deepseek_v2", {**_LATENT, "topk_method": "group_limited_greedy", "head_dim": 8}),
    "deepseek_v2 lite": (
        "deepseek_v2",
        {**_LATENT, "q_lora_rank": None, "n_group": 1, "topk_group": 1, "topk_method": "greedy", "head_dim": 8},
    ),
    "deepseek_v3": ("deepseek_v3", {**_LATENT, "norm_topk_prob": True}),
    "deepseek_v3, yarn": (
        "deepseek_v3",
        {**_LATENT, "rope_parameters": {**_YARN, "mscale": 1.0, "mscale_all_dim": 1.0}},
    ),
    "glm4": ("glm4", {**LLAMA, "head_dim": 16, "attention_bias": True, "rope_parameters": _HALF_TURNED}),
    "gpt-oss": (
        "gpt_oss",
        {
            "rope_parameters": {**_YARN, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}, "sliding_window": 5,
        },
    ),
    "olmo2": ("olmo2", LLAMA),
    "olmoe": ("olmoe", {**LLAMA, "num_key_value_heads": 4, "num_experts": 6, "num_experts_per_tok": 2}),
    "smollm3": ("smollm3", {**LLAMA, "num_hidden_layers": 5}),
    "mistral3": (
        "ministral3",
        {
            **LLAMA, "head_dim": 16,
            "rope_parameters": {
                **_YARN, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 4,
            },
        },
    ),
    "seed_oss": ("seed_oss", {**LLAMA, "head_dim": 24}),
    "ernie4_5": ("ernie4_5", {**LLAMA, "head_dim": 16}),
    "exaone4": ("exaone4", {**LLAMA, "num_hidden_layers": 4, "sliding_window": 5}),
    "exaone4, no window": (
        "exaone4", {**LLAMA, "sliding_window": None, "layer_types": ["full_attention"] * 3}
    ),
    "hunyuan-dense": ("hunyuan_v1_dense", {**LLAMA, "head_dim": 16}),
    "arcee": ("arcee", LLAMA),
    "command-r": ("cohere", {**LLAMA, "logit_scale": 0.25}),
    "command-r, norms of heads": ("cohere", {**LLAMA, "use_qk_norm": True}),
    "cohere2": ("cohere2", {**LLAMA, "num_hidden_layers": 4, "sliding_window": 5, "logit_scale": 0.25}),
    "starcoder2": ("starcoder2", LLAMA),
    "stablelm": ("stablelm", {**LLAMA, "use_qkv_bias": True}),
    "stablelm, in parallel": ("stablelm", {**LLAMA, "use_parallel_residual": True, "qk_layernorm": True}),
    "phi2": ("phi", {**LLAMA, "num_key_value_heads": 4}),
    "nemotron": ("nemotron", {**LLAMA, "head_dim": 16}),
    "olmo": ("olmo", LLAMA),
    "gpt2": ("gpt2", {}),
    "glm4moe": (
        "glm4_moe",
        {
            **LLAMA, "head_dim": 16, "n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
            "routed_scaling_factor": 2.5, "use_qk_norm": True, "attention_bias": True, "num_mtp_layers": 0,
            "rope_parameters": _HALF_TURNED,
        },
    ),
    "dots1": (
        "dots1",
        {
            **LLAMA, "num_key_value_heads": 4, "n_routed_experts": 6, "n_shared_experts": 1, "num_experts_per_tok": 2,
            "norm_topk_prob": True,
            "moe_intermediate_size": 24, "first_k_dense_replace": 1, "sliding_window": None,
            "routed_scaling_factor": 2.5,
        },
    ),
    "minimax-m2": (
        "minimax_m2",
        {
            **LLAMA, "head_dim": 16, "num_local_experts": 6, "num_experts_per_tok": 2,
            "rope_parameters": _HALF_TURNED,
        },
    ),
    "granitemoe": ("granitemoe", {**LLAMA, **_SCALES, "num_local_experts": 6, "num_experts_per_tok": 2}),
    "granitemoe, shared": (
        "granitemoeshared",
        {**LLAMA, **_SCALES, "num_local_experts": 6, "num_experts_per_tok": 2, "shared_intermediate_size": 40},
    ),
    "granitehybrid": ("granitemoehybrid", {**_HYBRID, "num_local_experts": 6, "num_experts_per_tok": 2}),
    "granitehybrid, dense": (
        "granitemoehybrid",
        {**_HYBRID, "num_local_experts": 0, "num_experts_per_tok": 0, "shared_intermediate_size": 96},
    ),
    "mamba": ("mamba", {}),
    "mamba2": (
        "mamba2",
        {
            "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "state_size": 8, "num_heads": 8,
            "head_dim": 16, "n_groups": 2, "chunk_size": 16,
        },
    ),
    "falcon-h1": ("falcon_h1", _FALCON_H1),
    "jamba": (
        "jamba",
        {
            **LLAMA, "num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 4,
            "expert_layer_period": 2, "expert_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 4,
        },
    ),
    "nemotron_h": (
        "nemotron_h",
        {
            **LLAMA, "head_dim": 16, "mamba_num_heads": 8, "mamba_head_dim": 16, "n_groups": 2, "ssm_state_size": 8,
            "layers_block_type": ["linear_attention", "mlp", "full_attention", "mlp"], "num_hidden_layers": None,
        },
    ),
    "nemotron_h_moe": (
        "nemotron_h",
        {
            **LLAMA, "head_dim": 16, "mamba_num_heads": 8, "mamba_head_dim": 16, "n_groups": 2, "ssm_state_size": 8,
            "layers_block_type": ["linear_attention", "moe", "full_attention", "moe"], "num_hidden_layers": None,
            "n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
            "moe_shared_expert_intermediate_size": 32, "routed_scaling_factor": 2.5, "norm_topk_prob": True,
        },
    ),
    "lfm2": (
        "lfm2",
        {**LLAMA, "layer_types": ["conv", "full_attention", "conv"], "block_auto_adjust_ff_dim": False},
    ),
    "lfm2moe": (
        "lfm2_moe",
        {
            **LLAMA, "layer_types": ["conv", "full_attention", "conv"], "num_dense_layers": 1, "num_experts": 4,
            "num_experts_per_tok": 2, "moe_intermediate_size": 24,
        },
    ),
    "ernie4_5-moe": (
        "ernie4_5_moe",
        {
            **LLAMA, "moe_num_experts": 6, "moe_k": 2, "moe_intermediate_size": 24, "moe_num_shared_experts": 1,
            "moe_layer_start_index": 1,
        },
    ),
    "hunyuan-moe": (
        "hunyuan_v1_moe", {**LLAMA, "head_dim": 16, "num_experts": 4, "moe_topk": 2},
    ),
    "qwen3next": ("qwen3_next", {**_LINEAR, **_SHARED, "rope_parameters": _QUARTER_TURNED}),
    "qwen35": ("qwen3_5_text", {**_LINEAR, "rope_parameters": _QUARTER_TURNED}),
    "qwen35moe": ("qwen3_5_moe_text", {**_LINEAR, **_SHARED, "rope_parameters": _QUARTER_TURNED}),
    "gemma3n": (
        "gemma3n_text",
        {
            **LLAMA, "head_dim": 16, "num_hidden_layers": 6, "sliding_window": 5, "hidden_size_per_layer_input": 256,
            "vocab_size_per_layer_input": 320, "num_kv_shared_layers": 1, "laurel_rank": 64,
            "activation_sparsity_pattern": [0.95] * 2 + [0.0] * 4, "pad_token_id": 0,
        },
    ),
    "gemma4": ("gemma4_text", {**_GEMMA4, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 320}),
    "gemma4, keys shared": (
        "gemma4_text",
        {
            **_GEMMA4, "num_hidden_layers": 8, "num_kv_shared_layers": 4, "use_double_wide_mlp": True,
            "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 320,
            "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 2,
        },
    ),
    "gemma4, of experts": (
        "gemma4_text",
        {
            **_GEMMA4, "hidden_size_per_layer_input": 0, "enable_moe_block": True, "num_experts": 6,
            "top_k_experts": 2, "moe_intermediate_size": 24, "attention_k_eq_v": True, "num_global_key_value_heads": 1,
        },
    ),
    "olmo3": ("olmo3", {**LLAMA, "sliding_window": 5, "num_hidden_layers": 4}),
}  # fmt: skip


def runnable(path: Path) -> Runnable:
    return make_runnable(with_options(load_recipe(str(path)), dtype="float32"))


def test_every_family_that_is_read_has_a_case() -> None:
    from tracetui.recipe.gguf.families import FAMILIES

    assert {case.split()[0].rstrip(",").replace("deepseek_v2", "deepseek2") for case in CASES} >= set(FAMILIES)


def _check_same(tensor: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    """To the bit, but for what went through an exponential and a logarithm."""
    if name.endswith("A_log"):
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-7)
    else:
        assert torch.equal(tensor, expected), name


@pytest.mark.parametrize("case", CASES)
def test_a_converted_model_is_the_one_it_was(tmp_path: Path, case: str) -> None:
    family, fields = CASES[case]
    model = exact_model(family, **fields)
    path = write_gguf(model, tmp_path / "model.gguf")
    state = model.state_dict()
    read = runnable(path)
    for _, slot in read.weights.all_slots():
        assert slot.provenance == "file", slot.spec.name
        if family != "falcon_h1":  # whose file has them multiplied
            tensor = read.weights._source.read(slot.spec, None, lambda made: None)
            _check_same(tensor, state[slot.spec.name], slot.spec.name)
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([IDS]), use_cache=False).logits.numpy()
    trace = trace_recipe(with_options(load_recipe(str(path)), dtype="float32"), ids=IDS)
    if any("experts" in name or name.endswith("A_log") for name in state):
        np.testing.assert_allclose(trace["logits"], expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))
    else:
        np.testing.assert_array_equal(trace["logits"], expected)
    assert [note for note in trace.run.notes if "read over" in note] == []
