"""The checkpoint's structure is that of the files that transformers itself writes."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from tracetui.analysis.checkpoint import ModulePart, every_tensor
from tracetui.models.build import build_model
from tracetui.models.checkpoints.tree import checkpoint_tree
from tracetui.models.structure import read_structure
from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.streaming import Weights
from tracetui.recipe import Layers, Recipe, load_recipe

TINY: dict[str, Any] = {
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": None,
    "eos_token_id": None,
    "bos_token_id": None,
}
DEEPSEEK: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "q_lora_rank": 20,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 8,
    "n_group": 4,
    "topk_group": 2,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True},
    "qwen2": {"tie_word_embeddings": True},
    "qwen2_moe": {
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 20,
        "decoder_sparse_step": 2,
    },
    "mixtral": {"num_local_experts": 4},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "gemma2": {},
    "phi3": {},
    "deepseek_v3": DEEPSEEK,
}


def recipe(family: str, layers: Layers | None = None) -> Recipe:
    config = {**TINY, "model_type": family, **FAMILIES[family]}
    return Recipe("r", "R", "r.toml", config, layers or Layers(0, 4))


def tree_of(family: str, layers: Layers | None = None) -> ModulePart:
    return checkpoint_tree(build_model(recipe(family, layers), torch.float32).module)


def written(family: str, folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the file that transformers writes of such a model."""
    meta = build_model(recipe(family), torch.float32).module
    real = type(meta)(meta.config)
    real.save_pretrained(folder)
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tree_holds_what_transformers_writes_into_a_file(family: str, tmp_path: Path) -> None:
    found = {name: tensor for name, tensor in every_tensor(tree_of(family)) if not tensor.note.startswith("tied")}
    assert {name: tensor.shape for name, tensor in found.items()} == written(family, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_counted_once(family: str) -> None:
    model = build_model(recipe(family), torch.float32).module
    assert tree_of(family).parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("deepseek-v3", 671_026_404_352, 37_552_282_624),
        ("qwen2-moe-57b-a14b", 57_408_658_944, 14_249_270_784),
        ("llama3-2layer", 8_030_261_248, 8_030_261_248),
        ("qwen2.5-1.5b", 1_543_714_304, 1_543_714_304),
    ],
)
def test_the_totals_are_the_published_ones(name: str, total: int, active: int) -> None:
    structure = read_structure(load_recipe(name))
    assert (structure.parameters, structure.active) == (total, active)
    assert structure.tree.parameters == total
    assert (structure.built is None) == (name == "qwen2.5-1.5b")


def test_deepseek_s_layers_fold_into_dense_ones_and_those_with_experts() -> None:
    structure = read_structure(load_recipe("deepseek-v3"))
    assert structure.buffers == 58 * 256
    layers = structure.tree.children[0].children[1]
    assert [(part.name, part.copies) for part in layers.children] == [("0–2", 3), ("3–60", 58)]
    experts = next(part for part in layers.children[1].children if part.name == "mlp").children[0]
    (expert,) = experts.children
    assert (expert.name, expert.copies, expert.routed) == ("0–255", 256, True)
    assert [(part.name, part.tensors[0].shape) for part in expert.children] == [
        ("gate_proj", (2048, 7168)),
        ("up_proj", (2048, 7168)),
        ("down_proj", (7168, 2048)),
    ]


def test_layers_that_alternate_fold_by_kind() -> None:
    layers = tree_of("qwen2_moe").children[0].children[1]
    assert [(part.name, part.indices) for part in layers.children] == [("0, 2", (0, 2)), ("1, 3", (1, 3))]


def test_layers_not_asked_for_have_no_tensors() -> None:
    structure = read_structure(recipe("deepseek_v3", Layers(1, 2)), only_built=True)
    layers = structure.tree.children[0].children[1]
    assert [(part.name, part.skipped) for part in layers.children] == [("0, 2–3", True), ("1", False)]
    assert structure.built == (structure.tree.parameters, "layer 1 of 4")
    assert structure.parameters == tree_of("deepseek_v3").parameters


def test_a_tied_tensor_is_noted_where_it_stands_again() -> None:
    notes = {name: tensor.note for name, tensor in every_tensor(tree_of("qwen2"))}
    assert notes["lm_head.weight"] == "tied to model.embed_tokens.weight"
    assert notes["model.embed_tokens.weight"] == ""


def test_experts_that_stay_fused_in_the_file_are_counted_as_experts() -> None:
    structure = read_structure(recipe("gpt_oss"))
    unused = sum(tensor.parameters // 2 for name, tensor in every_tensor(structure.tree) if ".experts." in name)
    assert structure.active == structure.parameters - unused


def test_nothing_but_meta_goes_through_the_rules_though_the_model_stands_on_the_cpu() -> None:
    """The rules put a layer's experts together: 3 GB a layer here, and 15 of DeepSeek-V3's."""
    fields = {"num_hidden_layers": 2, "num_local_experts": 16, "hidden_size": 2048, "intermediate_size": 16384}
    recipe = Recipe("r", "R", "r.toml", {**TINY, "model_type": "mixtral", **fields}, Layers(0, 2))
    model = build_model(recipe, torch.bfloat16).module
    Weights(model, torch.bfloat16, RandomSource(0, 0.02), budget=0)
    assert not any(parameter.is_meta for parameter in model.parameters())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tree = checkpoint_tree(model)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 2**28
    shapes = {tensor.shape for _, tensor in every_tensor(tree)}
    assert (16384, 2048) in shapes, "the experts one by one"
