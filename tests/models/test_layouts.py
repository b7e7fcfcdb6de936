"""Other implementations' names: complete, each once, and those that their files have."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from tests.models.meta_files import PARAMS, state_dict
from tests.models.test_checkpoint_tree import recipe
from tracetui.analysis.checkpoint import OtherName, every_tensor
from tracetui.errors import InputError
from tracetui.models.build import build_model
from tracetui.models.checkpoints.layouts import LAYOUTS, PERMUTED, naming
from tracetui.models.checkpoints.row_order import halves_order
from tracetui.models.checkpoints.tree import checkpoint_tree
from tracetui.recipe import Layers, Recipe
from tracetui.recipe.meta import llama_config

REFERENCE = re.compile(
    r"(embed|norm|head)\.weight|layers\.\d\.((attn_norm|ffn_norm)\.weight"
    r"|attn\.(wq_a|q_norm|wq_b|wkv_a|kv_norm|wkv_b|wo)\.weight|ffn\.gate\.(weight|bias)"
    r"|ffn\.((experts\.\d|shared_experts)\.)?w[123]\.weight)"
)


def named(layout: str, made: Recipe) -> dict[str, tuple[tuple[int, ...], OtherName]]:
    """Every tensor's own shape and other name, by its own name."""
    model = build_model(made, torch.float32).module
    name = naming(layout, model)
    found = {}
    for own, tensor in every_tensor(checkpoint_tree(model)):
        other = name(own)
        assert other is not None, own
        found[own] = (tensor.shape, other)
    return found


def test_meta_s_names_are_those_in_meta_s_files() -> None:
    made = Recipe("m", "M", "m", llama_config(PARAMS, "params.json"), Layers(0, 3))
    found = {other.name: shape for shape, other in named("meta", made).values()}
    assert found == {name: tuple(tensor.shape) for name, tensor in state_dict().items()}


def test_a_remark_stands_where_the_loader_permutes_rows() -> None:
    made = Recipe("m", "M", "m", llama_config(PARAMS, "params.json"), Layers(0, 3))
    remarked = {own for own, (_, other) in named("meta", made).items() if other.remark}
    assert remarked == {f"model.layers.{layer}.{inner}" for layer in range(3) for inner in PERMUTED}
    assert halves_order(2, 8).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_the_reference_code_has_every_tensor_of_deepseek_once() -> None:
    found = named("deepseek", recipe("deepseek_v3"))
    names = [other.name for _, other in found.values()]
    assert len(set(names)) == len(names)
    assert all(REFERENCE.fullmatch(name) for name in names)
    shapes = {other.name: shape for shape, other in found.values()}
    assert shapes["layers.2.ffn.experts.7.w2.weight"] == (32, 16)
    assert shapes["layers.0.ffn.w1.weight"] == (48, 32)
    assert shapes["layers.3.ffn.gate.bias"] == (8,)
    assert shapes["layers.1.attn.wkv_a.weight"] == (16 + 4, 32)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ("model.layers.0.mlp.gate_proj.weight", "layers.0.ffn.w1.weight"),
        ("model.layers.0.mlp.down_proj.weight", "layers.0.ffn.w2.weight"),
        ("model.layers.0.mlp.up_proj.weight", "layers.0.ffn.w3.weight"),
        ("model.layers.2.mlp.experts.5.gate_proj.weight", "layers.2.ffn.experts.5.w1.weight"),
        ("model.layers.2.mlp.shared_experts.up_proj.weight", "layers.2.ffn.shared_experts.w3.weight"),
        ("model.layers.2.self_attn.q_a_layernorm.weight", "layers.2.attn.q_norm.weight"),
        ("model.layers.2.self_attn.kv_a_layernorm.weight", "layers.2.attn.kv_norm.weight"),
        ("model.layers.2.input_layernorm.weight", "layers.2.attn_norm.weight"),
        ("model.layers.2.post_attention_layernorm.weight", "layers.2.ffn_norm.weight"),
        ("model.embed_tokens.weight", "embed.weight"),
        ("lm_head.weight", "head.weight"),
    ],
)
def test_tensors_of_one_shape_are_told_apart(own: str, other: str) -> None:
    assert named("deepseek", recipe("deepseek_v3"))[own][1].name == other


def test_a_query_that_is_not_compressed_has_the_reference_s_other_name() -> None:
    plain = recipe("deepseek_v3")
    config: dict[str, Any] = {**plain.config, "q_lora_rank": None}
    found = named("deepseek", Recipe("r", "R", "r", config, Layers(0, 4)))
    assert found["model.layers.0.self_attn.q_proj.weight"][1].name == "layers.0.attn.wq.weight"


@pytest.mark.parametrize("family", ["llama", "qwen2_moe", "mixtral", "deepseek_v3", "gpt_oss"])
def test_transformers_names_are_its_modules_parameters(family: str) -> None:
    model = build_model(recipe(family), torch.float32).module
    found = named("hf", recipe(family))
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {other.name: other.shape for _, other in found.values()} == state
    for own, (shape, other) in found.items():
        assert (other.shape != shape) == bool(other.remark) == (".experts." in own and family != "gpt_oss"), own


def test_another_family_s_layout_is_refused_by_name() -> None:
    model = build_model(recipe("qwen2"), torch.float32).module
    for layout, family in (("meta", "llama"), ("deepseek", "deepseek_v3")):
        with pytest.raises(InputError, match=f"--layout: {layout} names the tensors of a {family}, .* is a qwen2"):
            naming(layout, model)


def test_what_the_other_code_lacks_has_no_name() -> None:
    model = build_model(recipe("llama"), torch.float32).module
    assert naming("meta", model)("model.layers.0.self_attn.q_proj.bias") is None
    deep = naming("deepseek", build_model(recipe("deepseek_v3"), torch.float32).module)
    for name in ("model.layers.0.mlp.experts.01.up_proj.weight", "model.layers.61.eh_proj.weight", "x\x1b", ""):
        assert deep(name) is None


def test_the_command_line_offers_every_layout(capsys: pytest.CaptureFixture[str]) -> None:
    from tracetui.options.parser import parser

    for layout in LAYOUTS:
        assert parser().parse_args(["outline", "m", "--layout", layout]).layout == layout
