"""The module tree with the checkpoint's own experts in it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM

from tracetui.analysis.checkpoint import Structure
from tracetui.debugger.session import Module
from tracetui.models.build import build_model
from tracetui.models.module_tree import known_model
from tracetui.models.outline import outline, outline_of, outline_of_module
from tracetui.models.structure import read_structure
from tracetui.recipe import Layers, Recipe, load_recipe

SHIPPED = ("llama-tiny", "deepseek-v3", "qwen2-moe-57b-a14b", "qwen2.5-1.5b")


@cache
def of_layers(name: str, first: int, last: int) -> Module:
    recipe = replace(load_recipe(name), layers=Layers(first, last))
    return outline_of(recipe, build_model(recipe, torch.bfloat16))


@cache
def structure_of(name: str) -> Structure:
    return read_structure(load_recipe(name))


def every(module: Module) -> Iterator[Module]:
    yield module
    for child in module.children:
        yield from every(child)


def at(tree: Module, path: str) -> Module:
    return next(module for module in every(tree) if module.path == path)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("layers", [(0, 1), (3, 5)])
def test_the_totals_are_those_of_the_whole_checkpoint(name: str, layers: tuple[int, int]) -> None:
    structure = structure_of(name)
    tree = of_layers(name, *layers)
    assert tree.parameters == structure.parameters
    assert (tree.parameters if tree.active is None else tree.active) == structure.active


def test_deepseek_v3_has_so_many_parameters() -> None:
    assert of_layers("deepseek-v3", 3, 4).parameters == 671_026_404_352


def test_layers_that_are_not_run_are_folded_where_they_are_alike() -> None:
    layers = at(of_layers("deepseek-v3", 4, 6), "model.layers").children
    assert [(layer.path.rpartition(".")[2], layer.copies, layer.skipped) for layer in layers] == [
        ("0–2", 3, True),
        ("3", 1, True),
        ("4", 1, False),
        ("5", 1, False),
        ("6–60", 55, True),
    ]
    assert layers[4].parameters == 55 * layers[2].parameters
    inside = [(line.path.removeprefix(layers[4].path), line.weights) for line in every(layers[4])]
    assert inside == [(line.path.removeprefix(layers[2].path), line.weights) for line in every(layers[2])]


def test_experts_have_matrices_of_their_own_though_they_are_fused() -> None:
    tree = of_layers("deepseek-v3", 3, 5)
    for layer in (3, 4):
        path = f"model.layers.{layer}.mlp.experts"
        fused, experts = at(tree, path), at(tree, f"{path}.0–255")
        assert fused.weights == (("gate_up_proj", (256, 4096, 7168)), ("down_proj", (256, 7168, 2048)))
        assert [(line.path.rpartition(".")[2], line.weights[0][1]) for line in experts.children] == [
            ("gate_proj", (2048, 7168)),
            ("up_proj", (2048, 7168)),
            ("down_proj", (7168, 2048)),
        ]
        assert experts.parameters == fused.parameters == 256 * sum(line.parameters for line in experts.children)
        assert experts.active == fused.active == experts.parameters // 256 * 8


def test_other_names_stand_beside() -> None:
    tree = of_layers("deepseek-v3", 4, 5)
    assert dict(at(tree, "model.layers.4.self_attn.q_a_proj").elsewhere) == {
        "deepseek": "attn.wq_a",
        "hf": "self_attn.q_a_proj",
    }
    assert dict(at(tree, "model.layers.4.mlp.experts.0–255.gate_proj").elsewhere) == {
        "deepseek": "ffn.experts.N.w1",
        "hf": "mlp.experts.gate_up_proj [256, 4096, 7168]",
    }
    assert dict(at(of_layers("llama-tiny", 0, 1), "lm_head").elsewhere)["meta"] == "output"


def tiny_mixtral() -> Recipe:
    """Its checkpoints call the block `block_sparse_moe` and the matrices w1, w3, w2."""
    config = {
        "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64,
        "num_local_experts": 4, "num_experts_per_tok": 2,
    }  # fmt: skip
    return Recipe("m", "M", "m.toml", config, Layers(0, 2))


def test_a_checkpoint_with_other_paths() -> None:
    recipe = tiny_mixtral()
    tree = outline_of(recipe, build_model(recipe, torch.float32))
    experts = at(tree, "model.layers.1.mlp.experts.0–3")
    assert [(line.path.rpartition(".")[2], line.weights[0][1]) for line in experts.children] == [
        ("w1", (48, 32)),
        ("w2", (32, 48)),
        ("w3", (48, 32)),
    ]
    assert tree.parameters == read_structure(recipe).parameters


def test_a_shared_layer_counts_once() -> None:
    """Two places of one list may hold the same module."""
    recipe = replace(load_recipe("llama-tiny"), layers=Layers(0, 6))
    model = build_model(recipe, torch.float32).module
    whole = outline(model)
    layers = model.get_submodule("model.layers")
    assert isinstance(layers, torch.nn.ModuleList)
    layers[1] = layers[0]
    layer = at(whole, "model.layers.0").parameters
    assert outline(model).parameters == whole.parameters - layer


def small_mixtral() -> MixtralForCausalLM:
    return MixtralForCausalLM(MixtralConfig(**tiny_mixtral().config))


def test_an_outline_is_made_once_for_a_model_that_stays_as_it_is() -> None:
    model = small_mixtral()
    made = outline_of_module(known_model(model))
    with torch.no_grad():
        model.get_parameter("lm_head.weight").zero_()
    assert outline_of_module(known_model(model)) is made


def set_top_k(model: MixtralForCausalLM) -> None:
    model.config.num_experts_per_tok = 1


def set_data(model: MixtralForCausalLM) -> None:
    model.get_parameter("model.norm.weight").data = torch.ones(7)


def tie(model: MixtralForCausalLM) -> None:
    model.get_submodule("lm_head").weight = model.get_parameter("model.embed_tokens.weight")


def take_a_layer_away(model: MixtralForCausalLM) -> None:
    layers = model.get_submodule("model.layers")
    assert isinstance(layers, nn.ModuleList)
    del layers[1]


def share_a_layer(model: MixtralForCausalLM) -> None:
    layers = model.get_submodule("model.layers")
    assert isinstance(layers, nn.ModuleList)
    layers[1] = layers[0]


def put_an_adapter_in(model: MixtralForCausalLM) -> None:
    model.get_submodule("model.layers.0.self_attn.q_proj").add_module("adapter", nn.Linear(32, 2))


@pytest.mark.parametrize("change", [set_top_k, set_data, tie, take_a_layer_away, share_a_layer, put_an_adapter_in])
def test_an_outline_follows_what_is_done_to_a_model(change: Callable[[MixtralForCausalLM], None]) -> None:
    model = small_mixtral()
    before = outline_of_module(known_model(model))
    change(model)
    after = outline_of_module(known_model(model))
    assert after != before
    assert after == outline(model)


def test_no_outline_keeps_its_model() -> None:
    model = small_mixtral()
    outline_of_module(known_model(model))
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None
