"""The text model of a configuration of several parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.recipe.class_defaults import SAMPLE, families, several_parts
from tracetui.errors import InputError
from tracetui.recipe import Layers, load_recipe
from tracetui.recipe import class_defaults as known
from tracetui.recipe.class_defaults import class_size, parts_of
from tracetui.recipe.config import check_config, layer_count, with_layers
from tracetui.recipe.text_part import text_part

SIZES = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 320}
TEXT = {"model_type": "llama", **SIZES}


@pytest.mark.parametrize(
    ("whole", "place"),
    [
        ({"model_type": "llava", "text_config": TEXT, "vision_config": {}}, "text_config"),
        ({"model_type": "internvl_chat", "llm_config": TEXT, "vision_config": {}}, "llm_config"),
        ({"model_type": "new", "language_config": TEXT, "vision_config": {}}, "language_config"),
        (
            {"model_type": "qwen2_5_omni", "thinker_config": {"text_config": TEXT}, "vision_config": {}},
            "thinker_config.text_config",
        ),
    ],
)
def test_the_text_model_is_found_wherever_it_stands(whole: dict[str, Any], place: str) -> None:
    part = text_part(whole, "config.json")
    assert part is not None
    assert (part.place, part.unread) == (place, ("vision_config",))
    assert {name: part.config[name] for name in TEXT} == TEXT


def test_what_is_said_once_for_all_parts_goes_with_the_text_model() -> None:
    whole = {"text_config": {**TEXT, "dtype": None, "eos_token_id": 3}, "dtype": "float16", "bos_token_id": 7}
    part = text_part({**whole, "eos_token_id": 8, "quantization_config": {"quant_method": "fp8"}}, "config.json")
    assert part is not None
    assert {name: part.config[name] for name in ("dtype", "bos_token_id", "eos_token_id")} == {
        "dtype": "float16", "bos_token_id": 7, "eos_token_id": 3,
    }  # fmt: skip
    assert part.config["quantization_config"] == {"quant_method": "fp8"}
    assert part.unread == ()


@pytest.mark.parametrize(
    ("outer", "inner", "tied"),
    [
        ({"model_type": "gemma3"}, {}, True),
        ({"model_type": "gemma3", "tie_word_embeddings": False}, {"tie_word_embeddings": True}, False),
        ({"model_type": "llava"}, {"tie_word_embeddings": True}, False),
        ({"model_type": "qwen2_audio"}, {"tie_word_embeddings": True}, True),
        ({"model_type": "nobody_knows"}, {"tie_word_embeddings": True}, True),
        ({"model_type": "nobody_knows"}, {}, None),
    ],
)
def test_the_whole_decides_whether_the_head_is_the_embedding(
    outer: dict[str, Any], inner: dict[str, Any], tied: bool | None
) -> None:
    part = text_part({**outer, "text_config": {**TEXT, **inner}}, "config.json")
    assert part is not None
    assert part.config.get("tie_word_embeddings") is tied


def test_fields_beside_the_other_parts_are_the_text_model_s() -> None:
    part = text_part({"model_type": "qwen2_vl", **SIZES, "vision_config": {"depth": 2}}, "config.json")
    assert part is not None
    assert (part.place, part.unread, part.config["model_type"]) == ("", ("vision_config",), "qwen2_vl_text")
    assert "vision_config" not in part.config
    assert text_part({"model_type": "gemma3", **SIZES}, "config.json") is None
    assert text_part(TEXT, "config.json") is None


def test_a_part_may_leave_out_what_its_class_has(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "gemma3", "text_config": {"hidden_size": 2560, "num_hidden_layers": 34}}))
    recipe = load_recipe(str(path))
    assert recipe.layers == Layers(0, 34)
    assert recipe.config["model_type"] == "gemma3_text"
    assert recipe.notes == ("config.json: the text model of text_config alone is built",)
    path.write_text(json.dumps({"model_type": "gemma3", "text_config": {}}))
    assert load_recipe(str(path)).layers == Layers(0, 26)


def test_what_is_wrong_in_a_part_is_told_with_its_place() -> None:
    whole = {"model_type": "llava", "text_config": {**TEXT, "num_hidden_layers": "3"}}
    with pytest.raises(InputError, match=r"^config.json: text_config.num_hidden_layers: must be an integer, got '3'"):
        check_config(whole, "config.json")


@pytest.mark.parametrize(
    ("config", "count", "first_two"),
    [
        (
            {"layers_block_type": ["linear_attention", "moe", "mlp"]},
            3,
            {"layers_block_type": ["linear_attention", "moe"]},
        ),
        ({"hybrid_override_pattern": "M-M*"}, 4, {"hybrid_override_pattern": "M-"}),
        ({"num_hidden_layers": 5, "decoder_layers": 3}, 3, {"num_hidden_layers": 5, "decoder_layers": 2}),
        ({"n_layer": 5, "layer_types": ["x"] * 5}, 5, {"n_layer": 2, "layer_types": ["x"] * 5}),
    ],
)
def test_layers_are_counted_by_what_the_family_says(
    config: dict[str, Any], count: int, first_two: dict[str, Any]
) -> None:
    checked = check_config({"model_type": "x", "hidden_size": 64, "vocab_size": 320, **config}, "config.json")
    assert layer_count(checked) == count
    assert with_layers(config, 2) == first_two


def test_a_model_whose_layers_stand_in_several_parts_is_refused_by_name() -> None:
    parts = {part: {"num_hidden_layers": 2, "hidden_size": 64} for part in ("encoder_config", "decoder_config")}
    problem = "model_type: has its layers in decoder_config, encoder_config, none of them a language model of its own"
    with pytest.raises(InputError, match=rf"^config.json: {problem}; .*, got 'blt'$"):
        check_config({"model_type": "blt", "vocab_size": 320, **parts}, "config.json")


def test_heads_may_be_as_wide_as_a_field_of_the_family_s_own_says() -> None:
    config = {"model_type": "reformer", "hidden_size": 64, "vocab_size": 320, "num_attention_heads": 3}
    sizes = {"num_hidden_layers": 2, "attention_head_size": 16}
    assert check_config({**config, **sizes}, "config.json")


def test_the_table_is_what_transformers_classes_have() -> None:
    for kind, sizes in families(SAMPLE).items():
        assert tuple(class_size(kind, which) or 0 for which in range(known.HEAD_WIDTH + 1)) == sizes, kind
    for kind, (text, tied, flat) in several_parts(SAMPLE).items():
        assert parts_of(kind) == known.Parts(text, tied, flat), kind
