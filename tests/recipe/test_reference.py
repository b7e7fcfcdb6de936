"""DeepSeek-V3's reference configuration in transformers' words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.models.deepseek_files import BASE
from tracetui.errors import InputError
from tracetui.recipe import Layers, load_recipe
from tracetui.recipe.fields.explain import reference_explanation
from tracetui.recipe.reference import (
    _KNOWN,
    is_reference,
    is_reference_form,
    reference_config,
    unknown_reference_fields,
)

SMALLEST: Mapping[str, Any] = {"vocab_size": 102400, "dim": 2048, "inter_dim": 10944, "n_layers": 27, "n_heads": 16}


def changed(**changes: Any) -> dict[str, object]:
    return reference_config({**BASE, **changes}, "config.json")


def test_the_recipe_is_deepseek_v3_whole() -> None:
    own, published = (load_recipe(name).config for name in ("deepseek-v3-ref", "deepseek-v3"))
    assert is_reference(own)
    assert not is_reference(published)
    apart = {"architectures", "max_position_embeddings", "rope_scaling", "rope_theta", "use_cache", "attention_dropout"}
    apart |= {"num_nextn_predict_layers", "moe_layer_freq", "initializer_range"}
    for field, value in published.items():
        assert field in apart or own[field] == value, field
    rope, said = own["rope_parameters"], published["rope_scaling"]
    assert isinstance(rope, dict)
    assert isinstance(said, dict)
    assert {field: rope[field] for field in said if field != "type"} == {f: said[f] for f in said if f != "type"}


def test_what_is_left_out_is_what_the_reference_code_takes() -> None:
    found = reference_config(SMALLEST, "config.json")
    assert (found["n_routed_experts"], found["num_experts_per_tok"], found["n_shared_experts"]) == (64, 6, 2)
    assert (found["n_group"], found["topk_group"], found["routed_scaling_factor"]) == (1, 1, 1.0)
    assert (found["scoring_func"], found["norm_topk_prob"], found["topk_method"]) == (
        "softmax",
        False,
        "group_limited_greedy",
    )
    assert (found["q_lora_rank"], found["kv_lora_rank"], found["first_k_dense_replace"]) == (None, 512, 1)
    assert (found["qk_nope_head_dim"], found["qk_rope_head_dim"], found["v_head_dim"]) == (128, 64, 128)
    rope = found["rope_parameters"]
    assert isinstance(rope, dict)
    assert (rope["rope_type"], rope["factor"], rope["attention_factor"]) == ("yarn", 40.0, 1.0)
    assert (rope["original_max_position_embeddings"], rope["mscale"], rope["mscale_all_dim"]) == (4096, 1.0, 1.0)


def test_the_bias_hangs_on_the_width_alone() -> None:
    assert changed(dim=7168)["topk_method"] == changed(dim=7168, score_func="softmax")["topk_method"] == "noaux_tc"
    assert changed(dim=7170)["topk_method"] == "group_limited_greedy"


def test_without_more_room_than_was_trained_nothing_is_stretched() -> None:
    assert changed(max_seq_len=64)["rope_parameters"] == {"rope_type": "default", "rope_theta": 100.0}
    assert changed(max_seq_len=64, rope_factor=0.5)["max_position_embeddings"] == 64


NOT_INTEGERS: tuple[object, ...] = (True, 4.0, "4", [4], {}, -4, 2**40)


@pytest.mark.parametrize("value", NOT_INTEGERS, ids=repr)
@pytest.mark.parametrize(
    "field",
    [
        "vocab_size", "dim", "inter_dim", "moe_inter_dim", "n_layers", "n_dense_layers", "n_heads", "n_routed_experts",
        "n_shared_experts", "n_activated_experts", "n_expert_groups", "n_limited_groups", "q_lora_rank", "kv_lora_rank",
        "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "max_seq_len", "original_seq_len",
    ],
)  # fmt: skip
def test_a_wrong_size_is_named(field: str, value: object) -> None:
    with pytest.raises(InputError) as error:
        changed(**{field: value})
    assert str(error.value).startswith(f"config.json: {field}: ")
    assert str(error.value).endswith(f"got {value!r}")


@pytest.mark.parametrize("value", [True, "1", [1.0], 1e30, float("nan"), float("inf")], ids=repr)
@pytest.mark.parametrize("field", ["route_scale", "rope_theta", "rope_factor", "beta_fast", "beta_slow", "mscale"])
def test_a_wrong_number_is_named(field: str, value: object) -> None:
    with pytest.raises(InputError) as error:
        changed(**{field: value})
    assert str(error.value).startswith(f"config.json: {field}: ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"score_func": "relu"}, "score_func: must be softmax or sigmoid, got 'relu'"),
        ({"dtype": "int8"}, "dtype: must be bf16 or fp8, got 'int8'"),
        ({"n_expert_groups": 5}, "n_expert_groups: must divide n_routed_experts, 12, got 5"),
        ({"n_limited_groups": 5}, "n_limited_groups: must be at most n_expert_groups, 4, got 5"),
        ({"n_activated_experts": 7}, "n_activated_experts: must be at most the 6 of the groups used, got 7"),
        ({"dim": 7168, "n_expert_groups": 12}, "n_expert_groups: must leave two experts in a group"),
        ({"qk_rope_head_dim": 7}, "qk_rope_head_dim: must be even: adjacent pairs are rotated, got 7"),
        ({"rope_factor": 0.5}, "rope_factor: must be at least 1 where max_seq_len is more than original_seq_len"),
        ({"rope_theta": 1.0}, "rope_theta: must be above 1"),
        ({"index_head_dim": 128}, "index_head_dim: describes a sparse attention that tracetui doesn't build"),
        ({"n_layers": None}, "n_layers: is missing, an integer is needed"),
    ],
)
def test_fields_that_can_t_be_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        changed(**changes)
    assert str(error.value).startswith(f"config.json: {said}")


def test_a_folder_is_recognised_by_its_fields(tmp_path: Path) -> None:
    folder = tmp_path / "V3-converted"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**BASE, "newer\x1b": 1}))
    recipe = load_recipe(str(folder))
    assert (recipe.name, recipe.title) == ("V3-converted", "deepseek_v3, the reference code's form")
    assert (recipe.layers, recipe.dtype, recipe.weights) == (Layers(0, 3), "auto", folder)
    assert recipe.notes == ("config.json: newer␛ is not known and read over",)
    (folder / "config.json").rename(folder / "config_mini.json")
    assert load_recipe(str(folder)).config == recipe.config
    assert load_recipe(str(folder / "config_mini.json")).weights is None
    (folder / "model0-mp1.safetensors").touch()
    assert load_recipe(str(folder / "model0-mp1.safetensors")).weights == folder
    (folder / "config_other.json").touch()
    with pytest.raises(InputError, match=r"config.json: is missing, and several could be meant"):
        load_recipe(str(folder))


def test_other_forms_are_told_apart() -> None:
    assert is_reference_form(BASE)
    assert not is_reference_form({**BASE, "model_type": "deepseek_v3"})
    assert not is_reference_form({"dim": 64, "n_layers": 3, "n_heads": 4, "multiple_of": 32})
    assert not is_reference_form({})


def test_a_faulty_field_of_a_recipe_file_is_named_with_its_table(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    fields = "\n".join(f"{name} = {json.dumps(value)}" for name, value in {**BASE, "n_heads": 0}.items())
    path.write_text(f"[reference]\n{fields}\n")
    with pytest.raises(InputError, match=r"mine.toml: reference.n_heads: must be between 1 and"):
        load_recipe(str(path))


def test_every_known_field_is_explained() -> None:
    assert not [field for field in _KNOWN if not reference_explanation(field)]
    assert reference_explanation("nonsense") == ""
    assert unknown_reference_fields({**BASE, "a": 1}) == ("a",)


def test_what_is_left_out_is_what_that_code_takes() -> None:
    assert reference_config({name: SMALLEST[name] for name in ("vocab_size", "dim", "n_layers")}, "f") == (
        reference_config(SMALLEST, "f")
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_routed_experts": 4}, "n_activated_experts: must be at most the 4 of the groups used, and is 6 by default"),
        ({"n_expert_groups": 5}, "n_expert_groups: must divide n_routed_experts, 64 by default, got 5"),
        ({"n_limited_groups": 5}, "n_limited_groups: must be at most n_expert_groups, 1 by default, got 5"),
    ],
)
def test_a_complaint_tells_a_default_from_what_was_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        reference_config({**SMALLEST, **changes}, "f")
    assert str(error.value) == f"f: {said}"
