"""Models built on no memory are the models that transformers builds."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.tracer.recipes import recipe
from tracetui.errors import InputError
from tracetui.models.build import BuiltModel, build_model
from tracetui.models.outline import outline
from tracetui.models.pass_through import PassThrough
from tracetui.models.runnable import make_runnable
from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.streaming import Weights
from tracetui.recipe import Layers, Recipe, load_recipe

BASE: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 90,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "pad_token_id": None,
}
LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 128}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama 3.1": {"rope_parameters": LLAMA_3},
    "llama yarn": {"rope_parameters": YARN},
    "llama linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    "llama dynamic": {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
    "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3"},
    "mistral": {"model_type": "mistral"},
    "gemma2": {"model_type": "gemma2", "sliding_window": 4},
}

ALL = Layers(0, 3)


def built(fields: dict[str, Any], layers: Layers = ALL, dtype: torch.dtype = torch.float32) -> BuiltModel:
    return build_model(Recipe("r", "R", "r.toml", {**BASE, **copy.deepcopy(fields)}, layers), dtype)


def ordinary(fields: dict[str, Any]) -> nn.Module:
    """The same model by transformers' own way, with memory."""
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = {**BASE, **copy.deepcopy(fields)}
    made: nn.Module = AutoModelForCausalLM.from_config(CONFIG_MAPPING[config.pop("model_type")](**config))
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_buffers_are_those_of_a_model_built_with_memory(family: str) -> None:
    found = dict(built(FAMILIES[family]).module.named_buffers())
    expected = dict(ordinary(FAMILIES[family]).named_buffers())
    assert found.keys() == expected.keys()
    for name, buffer in expected.items():
        assert found[name].device.type == "cpu"
        assert found[name].dtype == buffer.dtype
        assert torch.equal(found[name], buffer), name


def test_llama_3_1_s_buffer_is_not_the_plain_one() -> None:
    plain, scaled = (dict(built(fields).module.named_buffers()) for fields in ({}, {"rope_parameters": LLAMA_3}))
    assert not torch.equal(plain["model.rotary_emb.inv_freq"], scaled["model.rotary_emb.inv_freq"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_parameters_have_the_dtype_and_no_memory_and_buffers_keep_theirs(dtype: torch.dtype) -> None:
    module = built({}, dtype=dtype).module
    assert all(parameter.is_meta and parameter.dtype == dtype for parameter in module.parameters())
    assert dict(module.named_buffers())["model.rotary_emb.inv_freq"].dtype == torch.float32
    assert not module.training


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tree_is_that_of_a_model_built_with_memory(family: str) -> None:
    found = {name: tuple(p.shape) for name, p in built(FAMILIES[family]).module.named_parameters()}
    assert found == {name: tuple(p.shape) for name, p in ordinary(FAMILIES[family]).named_parameters()}


def test_two_models_share_no_config() -> None:
    rope: dict[str, Any] = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
    recipe = Recipe("r", "R", "r.toml", {**BASE, "rope_parameters": rope}, Layers(0, 3))
    before = copy.deepcopy(recipe.config)
    first, second = build_model(recipe, torch.float32), build_model(recipe, torch.bfloat16)
    assert recipe.config == before
    first.config._attn_implementation = "eager"
    first.config.rope_parameters["factor"] = 7.0
    first.config.hidden_size = 1
    assert second.config._attn_implementation != "eager"
    assert (second.config.rope_parameters["factor"], second.config.hidden_size) == (2.0, 64)
    assert second.module.config is second.config
    assert recipe.config == before


def test_of_several_lists_the_layers_are_those_beside_the_table_of_tokens() -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    vision = {**sizes, "image_size": 8, "patch_size": 4}
    recipe = Recipe("g", "G", "g", {"model_type": "git", "vocab_size": 61, "vision_config": vision, **sizes}, ALL)
    module = build_model(replace(recipe, layers=Layers(1, 2)), torch.float32).module
    skipped = [path for path, part in module.named_modules() if isinstance(part, PassThrough)]
    assert skipped == ["git.encoder.layer.0", "git.encoder.layer.2"]


def test_layers_not_asked_for_pass_through() -> None:
    module = built({}, Layers(1, 2)).module
    layers = module.get_submodule("model.layers")
    assert isinstance(layers, nn.ModuleList)
    assert [type(layer).__name__ for layer in layers] == ["PassThrough", "LlamaDecoderLayer", "PassThrough"]
    assert layers[1].get_submodule("self_attn").layer_idx == 1
    assert not list(layers[0].parameters())
    assert [line.skipped for line in outline(module).children[0].children[1].children] == [True, False, True]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layers", [Layers(0, 1), Layers(1, 3)])
def test_a_model_with_layers_left_out_is_the_whole_one_without_them(family: str, layers: Layers) -> None:
    """The reference has all its layers and their weights; those left out are made to give back what they get."""
    ids = torch.tensor([[1, 2, 89, 0, 3]])
    whole, part = built(FAMILIES[family]), built(FAMILIES[family], layers)
    logits = []
    for model in (whole, part):
        own = Weights(model.module, torch.float32, RandomSource(0, 0.05), 2**40)
        for module, slot in own.all_slots():
            own.put_in(module, lambda name, done, total: None)
            assert not module.get_parameter(slot.parameter).isnan().any()
    stack = whole.module.get_submodule("model.layers")
    assert isinstance(stack, nn.ModuleList)
    for index in range(3):
        if index not in layers:
            stack[index].forward = lambda hidden_states, *args, **kwargs: hidden_states
    for model in (whole, part):
        with torch.no_grad():
            logits.append(model.module(ids, use_cache=False).logits)
    assert torch.isfinite(logits[0]).all()
    assert torch.equal(logits[0], logits[1])


def test_the_pass_through_layer_gives_back_what_it_gets() -> None:
    hidden = torch.randn(1, 2, 3)
    assert PassThrough()(hidden, attention_mask=None, position_ids=None) is hidden


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "nonsense"}, "r.toml: model_type: transformers knows no 'nonsense'"),
        ({"model_type": "x\x1b[31m"}, "r.toml: model_type: transformers knows no 'x␛[31m'"),
        ({"model_type": "clip"}, "r.toml: model_type: transformers has no causal language model for 'clip'"),
        ({"attention_bias": "yes"}, "r.toml: config: Validation error for field 'attention_bias'"),
        ({"head_dim": 15}, "r.toml: config: "),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "r.toml: config: "),
        ({"rope_parameters": {"rope_type": "nonsense", "rope_theta": 1e4}}, "r.toml: config: transformers can't build"),
        ({"hidden_act": "nonsense"}, "r.toml: config: transformers can't build such a model: KeyError: 'nonsense'"),
        ({"pad_token_id": 500}, "r.toml: config: transformers can't build such a model: AssertionError"),
    ],
)
def test_what_transformers_refuses_is_told_in_one_line(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        built(fields)
    assert str(error.value).startswith(said)
    assert str(error.value).isprintable()


def test_a_failed_build_leaves_torch_as_it_was() -> None:
    with pytest.raises(InputError):
        built({"hidden_act": "nonsense"}, dtype=torch.float16)
    assert torch.get_default_dtype() == torch.float32
    assert torch.empty(1).device.type == "cpu"


@pytest.mark.parametrize("field", ["attn_implementation", "_attn_implementation", "experts_implementation"])
def test_a_config_can_t_name_a_kernel_to_fetch(field: str) -> None:
    assert built({field: "somebody/kernel"}).config._attn_implementation in ("sdpa", "eager")


def test_a_field_that_nobody_reads_is_named_with_what_may_be_meant() -> None:
    notes = build_model(recipe(config={"rope_thetaa": 10.0}), torch.float32).notes
    assert len(notes) == 1
    assert "rope_thetaa" in notes[0]
    assert "rope_theta may be meant" in notes[0]


def test_a_model_that_sees_later_tokens_is_refused_and_one_without_a_limit_has_none(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    fields = {"model_type": "xlnet", "vocab_size": 300, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48}
    path.write_text(json.dumps(fields))
    with pytest.raises(InputError, match=r"attn_type: each token of this xlnet sees those after it \('bi'\); tracetui"):
        make_runnable(load_recipe(str(path)))
    path.write_text(json.dumps({**fields, "attn_type": "uni"}))
    make_runnable(load_recipe(str(path))).reader.check_length(100_000)


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_an_encoder_is_refused(model_type: str) -> None:
    with pytest.raises(InputError, match=f"{model_type} is an encoder"):
        build_model(recipe(config={"model_type": model_type}), torch.float32)


def test_a_vector_that_the_whole_model_computes_for_its_layers_is_there() -> None:
    fields: dict[str, Any] = {
        "model_type": "falcon_h1", "mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8,
        "ssm_multipliers": [0.5, 0.25, 2.0, 3.0, 4.0],
    }  # fmt: skip
    found = dict(built(fields).module.named_buffers())
    for name, buffer in ordinary(fields).named_buffers():
        assert torch.equal(found[name], buffer), name
    assert found["model.layers.1.mamba.mup_vector"].unique().numel() == 5


def test_layers_that_a_list_counts_are_built(tmp_path: Path) -> None:
    text = 'layers_block_type = ["linear_attention", "moe", "full_attention", "mlp"]'
    sizes = "hidden_size = 64\nvocab_size = 320\nnum_attention_heads = 4\nnum_key_value_heads = 2\nhead_dim = 16"
    mixers = "mamba_num_heads = 4\nmamba_head_dim = 16\nn_groups = 1\nmoe_intermediate_size = 32"
    (tmp_path / "r.toml").write_text(f'[config]\nmodel_type = "nemotron_h"\n{text}\n{sizes}\n{mixers}\n')
    recipe = load_recipe(str(tmp_path / "r.toml"))
    assert recipe.layers == Layers(0, 4)
    assert len(build_model(recipe, torch.float32).module.model.layers) == 4


BART = {
    "model_type": "bart", "d_model": 64, "decoder_layers": 2, "decoder_attention_heads": 4, "vocab_size": 320,
    "decoder_ffn_dim": 96, "encoder_layers": 5, "num_hidden_layers": 5, "encoder_attention_heads": 4,
}  # fmt: skip


def test_a_decoder_that_its_family_pairs_with_an_encoder_runs_only_if_it_is_alone(tmp_path: Path) -> None:
    alone, paired = ({**BART, "is_encoder_decoder": whole} for whole in (False, True))
    (tmp_path / "config.json").write_text(json.dumps(alone))
    recipe = load_recipe(str(tmp_path / "config.json"))
    assert recipe.layers == Layers(0, 2)
    assert len(build_model(recipe, torch.float32).module.model.decoder.layers) == 2
    with pytest.raises(InputError, match="bart has an encoder, whose output its decoder reads"):
        build_model(replace(recipe, config=paired), torch.float32)


@pytest.mark.parametrize(
    ("field", "said", "note"),
    [
        ("dtype", "floaty16", "model.json: dtype: floaty16 is none that tracetui computes in; bfloat16 is used"),
        ("torch_dtype", 16, "model.json: dtype: 16 is none that tracetui computes in; bfloat16 is used"),
        ("dtype", "torch.float32", ""),
        ("dtype", None, ""),
    ],
)
def test_a_dtype_in_which_nothing_is_computed_is_told(tmp_path: Path, field: str, said: object, note: str) -> None:
    path = tmp_path / "model.json"
    sizes = {"num_hidden_layers": 1, "vocab_size": 32, "hidden_size": 16, "intermediate_size": 16}
    path.write_text(json.dumps({"model_type": "llama", "num_attention_heads": 2, **sizes, field: said}))
    runnable = make_runnable(load_recipe(str(path)))
    notes = [each for each in runnable.notes if "dtype" in each]
    assert [each[: len(note)] for each in notes] == ([note] if note else [])
    assert runnable.built.dtype == (torch.float32 if said == "torch.float32" else torch.bfloat16)
