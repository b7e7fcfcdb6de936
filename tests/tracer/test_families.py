"""Every family from its config.json alone, streamed with placeholders: the same as an ordinary transformers model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tracer.models import SIZES
from tracetui.analysis.attention.scores import attention_at
from tracetui.errors import InputError
from tracetui.models.runnable import make_runnable
from tracetui.models.weights.experts import OWN_PREFIX, runs_singly
from tracetui.models.weights.random_source import RandomSource
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

COMMON: dict[str, Any] = {**SIZES, "vocab_size": 300, "max_position_embeddings": 64, "head_dim": 8}
MIXTURE: dict[str, Any] = {
    "moe_intermediate_size": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
LATENT: dict[str, Any] = {
    **MIXTURE,
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "head_dim": 4,
    "n_group": 2,
    "topk_group": 1,
}
GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 4},
    "qwen2": {},
    "qwen3": {},
    "gemma": {},
    "gemma2": {"query_pre_attn_scalar": 8, "sliding_window": 4},
    "gemma3_text": {
        "query_pre_attn_scalar": 8,
        "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "phi": {},
    "phi3": {},
    "gpt2": GPT,
    "gpt_neox": {"num_key_value_heads": 4},
    "gptj": {**GPT, "rotary_dim": 4},
    "bloom": {"n_layer": 2, "n_head": 4},
    "falcon": {"num_kv_heads": 2, "new_decoder_architecture": True},
    "olmo2": {},
    "stablelm": {},
    "cohere": {},
    "glm4": {},
    "granite": {},
    "mamba": {"state_size": 4},
    "mixtral": MIXTURE,
    "qwen2_moe": {**MIXTURE, "shared_expert_intermediate_size": 24},
    "qwen3_moe": MIXTURE,
    "olmoe": MIXTURE,
    "gpt_oss": {**MIXTURE, "sliding_window": 4},
    "glm4_moe": MIXTURE,
    "deepseek_v2": {**LATENT, "topk_method": "greedy"},
    "deepseek_v3": LATENT,
    "deepseek_v4": {**LATENT, "index_n_heads": 4, "index_head_dim": 8, "o_groups": 2, "o_lora_rank": 8},
    "rwkv": {"attention_hidden_size": 32, "rescale_every": 0},
    "llama4_text": {**MIXTURE, "num_experts_per_tok": 1, "intermediate_size_mlp": 48, "moe_layers": [1]},
}
"""What a family's configuration says beyond the common sizes."""
WITHOUT_SCORES = {"mamba", "rwkv"}
"""Families without a softmax over keys."""
WITHOUT_STEPS = {*WITHOUT_SCORES, "falcon"}
"""Those, and families that call torch's kernel themselves, which shows no steps."""
IDS = [5, 8, 299, 3, 9, 8, 61, 2]


def config_of(family: str) -> dict[str, Any]:
    """The configuration of a tiny model, in transformers' names."""
    common = {} if FAMILIES[family].get("n_embd") else COMMON
    said = {"vocab_size": 300, "model_type": family, **common, **FAMILIES[family], "pad_token_id": None}
    return {name: value for name, value in said.items() if (family, name) != ("falcon", "head_dim")}


@pytest.fixture
def config_file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_of(request.param)))
    return path


def traced(config_file: Path, dtype: str, memory: str) -> Trace:
    recipe = with_options(load_recipe(str(config_file)), dtype=dtype, memory=memory)
    return trace_recipe(recipe, ids=IDS)


def ordinary(config_file: Path, dtype: str) -> Any:
    """transformers' own model of the configuration, whole, with the weights of seed 0."""
    runnable = make_runnable(with_options(load_recipe(str(config_file)), dtype=dtype))
    source = RandomSource(0, float(getattr(runnable.built.config, "initializer_range", 0.02)))
    specs = {slot.spec.name: slot.spec for _, slot in runnable.weights.all_slots()}
    fields = json.loads(config_file.read_text())
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields), dtype=getattr(torch, dtype)).eval()
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, spec in specs.items():
            # Not copied into: transformers' loading leaves some in float32 whatever the model's dtype.
            own[name].data = source.read(spec, None, lambda made: None)
    return model


def with_same_kernels(model: Any) -> Any:
    """The model with the function that runs expert by expert, unwatched."""
    for module in model.modules():
        if runs_singly(module):
            module.config._experts_implementation = f"{OWN_PREFIX}grouped_mm"
    return model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("config_file", "family"), [(f, f) for f in FAMILIES], indirect=["config_file"])
def test_streamed_is_an_ordinary_transformers_model_bit_for_bit(config_file: Path, family: str, dtype: str) -> None:
    trace = traced(config_file, dtype, "0")
    model = with_same_kernels(ordinary(config_file, dtype))
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([IDS]), use_cache=False).logits.float().numpy()
    np.testing.assert_array_equal(trace["logits"], expected)
    # A placeholder that was used by mistake is NaN; what lies on meta can't be read.
    assert not [record.key for record in trace.records if np.isnan(trace[record.key]).any()]


@pytest.mark.parametrize(("config_file", "family"), [(f, f) for f in FAMILIES], indirect=["config_file"])
def test_streamed_is_resident(config_file: Path, family: str) -> None:
    streamed, resident = traced(config_file, "float32", "0"), traced(config_file, "float32", "1G")
    assert [record.key for record in streamed.records] == [record.key for record in resident.records]
    for record in streamed.records:
        np.testing.assert_array_equal(streamed[record.key], resident[record.key], record.key)


@pytest.mark.parametrize(("config_file", "family"), [(f, f) for f in FAMILIES], indirect=["config_file"])
def test_what_can_be_seen_is_there_and_the_rest_is_told(config_file: Path, family: str) -> None:
    trace = traced(config_file, "float32", "0")
    roles = {record.role for record in trace.records}
    notes = " ".join(trace.run.notes)
    assert ("q" in roles) == (family not in WITHOUT_SCORES)
    assert ("attention can't be shown" in notes) == (family in WITHOUT_SCORES - {"mamba"})
    mixture = "num_experts_per_tok" in FAMILIES[family]
    assert ("experts" in roles) == mixture
    assert "routing can't be shown" not in notes


@pytest.mark.parametrize(
    ("config_file", "family"), [(f, f) for f in FAMILIES if f not in WITHOUT_SCORES], indirect=["config_file"]
)
def test_probabilities_times_values_are_each_heads_output(config_file: Path, family: str) -> None:
    trace = traced(config_file, "float32", "0")
    assert trace.attention
    for key in trace.attention:
        record = trace.find(key)
        assert record is not None
        view = attention_at(trace, record)
        assert view is not None
        values, heads = trace[key.replace(":q", ":v")], trace[key.replace(":q", ":heads")]  # [B,G,S,Kv] [B,H,T,Kv]
        for head in range(view.heads):
            probs = view.matrix("probs", head, 0)  # [T,S]
            made = probs @ values[0, head * values.shape[1] // view.heads]  # [T,Kv]
            np.testing.assert_allclose(made, heads[0, head], atol=1e-5 * np.abs(heads).max())


@pytest.mark.parametrize(("config_file", "family"), [(f, f) for f in FAMILIES], indirect=["config_file"])
def test_a_written_trace_reads_back_the_same(config_file: Path, family: str, tmp_path: Path) -> None:
    trace = traced(config_file, "bfloat16", "0")
    write_trace(trace, tmp_path / "t.npz")
    read = read_trace(tmp_path / "t.npz")
    assert list(read.records) == list(trace.records)
    for record in trace.records:
        np.testing.assert_array_equal(read[record.key], trace[record.key], record.key)


@pytest.mark.parametrize(("config_file", "family"), [("rwkv", "rwkv")], indirect=["config_file"])
def test_a_model_that_changes_its_own_weights_is_refused(config_file: Path, family: str) -> None:
    config_file.write_text(json.dumps({**config_of(family), "rescale_every": 6}))
    with pytest.raises(InputError, match=r"config\.json: rescale_every: is 6, .*; write 0 there: "):
        traced(config_file, "float32", "0")
