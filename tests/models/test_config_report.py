"""What a configuration's fields are said to decide is what a model built otherwise has otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.models.test_checkpoint_tree import TINY, recipe
from tracetui.models.build import build_model
from tracetui.models.config_help.report import read_config
from tracetui.recipe import Layers, Recipe, load_recipe
from tracetui.recipe.fields.field import ConfigField, ConfigReport, FieldOrigin


def report(**fields: Any) -> ConfigReport:
    config = {**TINY, "model_type": "llama", **fields}
    return read_config(Recipe("r", "R", "r.toml", config, Layers(0, 2)))


def field(found: ConfigReport, name: str) -> ConfigField:
    (one,) = [one for one in found.fields if one.name == name]
    return one


def decided(found: ConfigReport, name: str) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    return {shape.name: (shape.shape, shape.axes) for shape in field(found, name).decides.shapes}


def test_every_field_says_the_shapes_that_it_decides() -> None:
    found = read_config(recipe("deepseek_v3"))
    assert decided(found, "q_lora_rank") == {
        "self_attn.q_a_proj.weight": ((20, 32), (0,)),
        "self_attn.q_a_layernorm.weight": ((20,), (0,)),
        "self_attn.q_b_proj.weight": ((4 * (8 + 4), 20), (1,)),
    }
    assert decided(found, "moe_intermediate_size") == {
        f"mlp.{part}.{name}.weight": (shape, (axis,))
        for part in ("experts.N", "shared_experts")
        for name, shape, axis in (("gate_proj", (16, 32), 0), ("up_proj", (16, 32), 0), ("down_proj", (32, 16), 1))
    }
    experts = decided(found, "n_routed_experts")
    assert experts.pop("mlp.gate.weight") == ((8, 32), (0,))
    assert experts.pop("mlp.gate.e_score_correction_bias") == ((8,), (0,))
    assert {name: axes for name, (_, axes) in experts.items()} == {
        f"mlp.experts.N.{name}.weight": () for name in ("gate_proj", "up_proj", "down_proj")
    }
    assert not decided(found, "num_experts_per_tok")
    assert not decided(found, "n_group")
    dense = field(found, "first_k_dense_replace").decides
    assert not dense.shapes
    assert "mlp.gate_proj.weight" in (*dense.placed, *dense.present)
    assert field(found, "num_hidden_layers").decides.placed == ("whole layers",)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen2_moe", "deepseek_v3", "gemma2"])
def test_no_shape_is_said_that_the_model_does_not_have(family: str) -> None:
    """Every decided shape is that of a tensor, one number of which is the field's own or made from it."""
    from tracetui.analysis.checkpoint import every_tensor
    from tracetui.models.checkpoints.tree import checkpoint_tree

    tree = checkpoint_tree(build_model(recipe(family), torch.float32).module)
    shapes = {tensor.shape for _, tensor in every_tensor(tree)}
    found = read_config(recipe(family))
    hidden = decided(found, "hidden_size")
    assert {name for name, _ in every_tensor(tree) if "embed_tokens" in name} <= set(hidden)
    for one in found.fields:
        for shape in one.decides.shapes:
            assert shape.shape in shapes, (one.name, shape)
            assert all(0 <= axis < len(shape.shape) for axis in shape.axes)
    assert all(name in {one.name for one in found.fields} for name in recipe(family).config)


def test_switches_say_what_is_there_with_them() -> None:
    found = report(tie_word_embeddings=True)
    assert field(found, "tie_word_embeddings").decides.present == ("lm_head.weight",)
    assert len(field(found, "attention_bias").decides.present) == 4
    assert field(found, "use_cache").decides.present == ()


def test_where_a_value_comes_from_is_told() -> None:
    found = report(rope_theta=5e5, flavour="sweet\x1b", num_nonsense=3)
    origins = {one.name: one.origin for one in found.fields}
    assert origins["hidden_size"] == origins["rope_parameters.rope_theta"] == FieldOrigin.GIVEN
    assert origins["mlp_bias"] == origins["rope_parameters.rope_type"] == FieldOrigin.DEFAULT
    assert origins["flavour"] == origins["num_nonsense"] == FieldOrigin.UNDECLARED
    assert field(found, "flavour").explanation == ""
    assert field(read_config(recipe("deepseek_v3")), "qk_head_dim").origin == FieldOrigin.DERIVED


def test_what_transformers_writes_of_its_own_follows_from_the_rest() -> None:
    """A saved configuration holds what its class works out of other fields, and such a file is no odd one."""
    of = recipe("deepseek_v3")
    saved = build_model(of, torch.bfloat16).config.to_dict()
    given = {**saved, "flavour": "sweet"}
    found = {one.name: one.origin for one in read_config(replace(of, config=given)).fields}
    assert [name for name, origin in found.items() if origin is FieldOrigin.UNDECLARED] == ["flavour"]
    assert found["qk_head_dim"] == FieldOrigin.DERIVED
    notes = build_model(replace(of, config=given), torch.bfloat16).notes
    assert [note for note in notes if "no such field" in note] == [note for note in notes if "flavour" in note]


def test_a_value_that_the_class_changes_is_told_with_the_file_s_own() -> None:
    found = field(read_config(load_recipe("qwen2-moe-57b-a14b")), "sliding_window")
    assert (found.value, found.said) == (0, 65536)


def test_what_the_file_says_of_loading_is_told_as_it_stands() -> None:
    found = report(dtype="float16", return_dict=False, transformers_version="4.1")
    assert [(one.value, one.said) for one in found.fields if one.name in ("dtype", "return_dict")] == [
        ("float16", None),
        (False, None),
    ]
    assert field(report(torch_dtype="float16"), "torch_dtype").value == "float16"


def test_an_expert_count_is_told_by_the_file_s_name() -> None:
    config = {**TINY, "model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 9}
    found = read_config(Recipe("r", "R", "r.toml", config, Layers(0, 4)))
    assert found.contradictions == ("num_experts_per_tok: 9 are chosen of num_experts, 8",)


def test_fields_without_words_of_ours_have_transformers_own() -> None:
    found = read_config(recipe("gemma2"))
    one = field(found, "query_pre_attn_scalar")
    assert one.source == "transformers"
    assert one.explanation
    assert field(found, "hidden_size").source == ""


def test_contradictions_are_part_of_the_report() -> None:
    found = report(architectures=["MistralForCausalLM"], eos_token_id=89, bos_token_id=90, vocab_size=90)
    assert found.contradictions == (
        "bos_token_id: 90 is no token, vocab_size is 90",
        "architectures: says MistralForCausalLM, model_type makes it a LlamaForCausalLM",
    )
    assert report().contradictions == ()


@pytest.mark.parametrize(
    "name", ["deepseek-v3", "deepseek-v3-mini", "deepseek-v3-ref", "qwen2-moe-57b-a14b", "llama3-2layer"]
)
def test_the_shipped_recipes_contradict_nothing_and_are_explained_throughout(name: str) -> None:
    found = read_config(load_recipe(name))
    assert found.contradictions == ()
    assert not [one.name for one in (*found.params, *found.fields) if not one.explanation]
    assert not [one.name for one in found.fields if one.source]
    languages = {"llama3-2layer": "Meta", "deepseek-v3-ref": "the reference code"}
    assert (found.language if found.params else "") == languages.get(name, "")


OTHERS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 4},
    "gemma3_text": {},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "llama4_text": {"num_local_experts": 4, "intermediate_size_mlp": 64},
    "qwen3_next": {"num_experts": 16, "moe_intermediate_size": 16},
    "mamba": {},
}


@pytest.mark.parametrize("family", OTHERS)
def test_other_families_have_a_structure_and_explanations_too(family: str) -> None:
    from tracetui.models.structure import read_structure

    made = Recipe("r", "R", "r", {**TINY, "model_type": family, **OTHERS[family]}, Layers(0, 4))
    model = build_model(made, torch.float32).module
    structure = read_structure(made)
    assert structure.parameters == structure.tree.parameters == sum(tensor.numel() for tensor in model.parameters())
    assert structure.active is not None
    found = read_config(made)
    assert not [one.name for one in found.fields if not one.explanation and one.origin is not FieldOrigin.UNDECLARED]
    assert decided(found, "vocab_size")
