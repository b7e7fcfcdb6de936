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
    "olmo3": ("olmo3", {**LLAMA, "sliding_window": 5, "num_hidden_layers": 4}),
}  # fmt: skip


def runnable(path: Path) -> Runnable:
    return make_runnable(with_options(load_recipe(str(path)), dtype="float32"))


def test_every_family_that_is_read_has_a_case() -> None:
    from tracetui.recipe.gguf.families import FAMILIES

    assert {case.split()[0].rstrip(",").replace("deepseek_v2", "deepseek2") for case in CASES} >= set(FAMILIES)


@pytest.mark.parametrize("case", CASES)
def test_a_converted_model_is_the_one_it_was(tmp_path: Path, case: str) -> None:
    family, fields = CASES[case]
    model = exact_model(family, **fields)
    path = write_gguf(model, tmp_path / "model.gguf")
    state = model.state_dict()
    read = runnable(path)
    for _, slot in read.weights.all_slots():
        assert slot.provenance == "file", slot.spec.name
        tensor = read.weights._source.read(slot.spec, None, lambda made: None)
        assert torch.equal(tensor, state[slot.spec.name]), slot.spec.name
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([IDS]), use_cache=False).logits.numpy()
    trace = trace_recipe(with_options(load_recipe(str(path)), dtype="float32"), ids=IDS)
    if any("experts" in name for name in state):
        np.testing.assert_allclose(trace["logits"], expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))
    else:
        np.testing.assert_array_equal(trace["logits"], expected)
    assert [note for note in trace.run.notes if "read over" in note] == []
