"""Folders in Hugging Face's form, and a config.json alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.models.meta_files import PARAMS, write_folder
from tracetui.errors import InputError
from tracetui.recipe import Layers, load_recipe
from tracetui.recipe.options import with_options
from tracetui.recipe.prompts import WALK_THROUGH

CONFIG: dict[str, Any] = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_theta": 1_000_000.0,
    "rope_scaling": None,
    "torch_dtype": "bfloat16",
}
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "vocab_size": 320,
    "n_embd": 64,
    "n_layer": 5,
    "n_head": 4,
    "n_inner": None,
}


def written(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_is_a_recipe_with_its_weights_and_tokenizer(tmp_path: Path) -> None:
    folder = written(tmp_path / "Qwen-Tiny", CONFIG)
    recipe = load_recipe(str(folder))
    assert (recipe.name, recipe.title, recipe.weights) == ("Qwen-Tiny", "qwen2, Hugging Face", folder)
    assert (recipe.layers, recipe.dtype, recipe.prompt) == (Layers(0, 3), "auto", WALK_THROUGH)
    assert (recipe.config, recipe.tokenizer) == (CONFIG, "builtin")
    assert recipe.plain()["weights"] == "Qwen-Tiny"
    (folder / "tokenizer.json").touch()
    assert load_recipe(str(folder)).tokenizer == str(folder / "tokenizer.json")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.safetensors.index.json", "model-00001-of-00002.safetensors"]
)
def test_a_weight_file_means_its_folder(tmp_path: Path, name: str) -> None:
    (written(tmp_path / "m", CONFIG) / name).touch()
    assert load_recipe(str(tmp_path / "m" / name)).weights == tmp_path / "m"


def test_a_config_alone_means_random_weights(tmp_path: Path) -> None:
    folder = written(tmp_path / "gpt", GPT2)
    recipe = load_recipe(str(folder / "config.json"))
    assert (recipe.name, recipe.weights, recipe.layers) == ("gpt", None, Layers(0, 5))
    (folder / "config.json").rename(folder / "other.json")
    assert load_recipe(str(folder / "other.json")).name == "other"
    assert with_options(recipe, layers="2:4").layers == Layers(2, 4)


def test_a_family_s_own_names_of_sizes_are_enough(tmp_path: Path) -> None:
    for names in (
        {"n_layer": 7, "n_embd": 8},
        {"n_layers": 7, "d_model": 8},
        {"num_layers": 7, "hidden_size": 8},
        {"num_hidden_layers": 7, "num_layers": 9, "emb_dim": 8},
    ):
        recipe = load_recipe(str(written(tmp_path / "m", {"model_type": "x", "vocab_size": 9, **names})))
        assert recipe.layer_count == 7


def test_of_two_forms_the_one_whose_weights_are_there_counts(tmp_path: Path) -> None:
    folder = written(tmp_path / "both", CONFIG)
    (folder / "params.json").write_text(json.dumps(dict(PARAMS)))
    assert load_recipe(str(folder)).config["model_type"] == "llama"
    (folder / "model.safetensors").touch()
    assert load_recipe(str(folder)).config["model_type"] == "qwen2"
    (folder / "consolidated.00.pth").touch()
    assert load_recipe(str(folder)).config["model_type"] == "llama"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": None}, "model_type: is missing, a text is needed"),
        ({"model_type": 3}, "model_type: must be a text, got 3"),
        ({"num_hidden_layers": None}, "num_hidden_layers: is missing, an integer is needed"),
        ({"num_hidden_layers": 3.0}, "num_hidden_layers: must be an integer, got 3.0"),
        ({"num_hidden_layers": True}, "num_hidden_layers: must be an integer, got True"),
        ({"num_hidden_layers": 4097}, "num_hidden_layers: must be between 1 and 4,096, got 4097"),
        ({"hidden_size": None}, "hidden_size: is missing, an integer is needed"),
        ({"hidden_size": 2**20 + 1}, "hidden_size: must be between 1 and 1,048,576"),
        ({"hidden_size": 66}, "num_attention_heads: must divide hidden_size, 66, or head_dim be given, got 4"),
        ({"vocab_size": None}, "vocab_size: is missing, an integer is needed"),
        ({"vocab_size": "320"}, "vocab_size: must be an integer, got '320'"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: must divide num_attention_heads, 4, got 3"),
        ({"intermediate_size": 2**24 + 1}, "intermediate_size: must be between 0 and 16,777,216"),
        ({"num_experts": 2**14 + 1}, "num_experts: must be between 0 and 16,384"),
        ({"max_position_embeddings": 2**31}, "max_position_embeddings: must be between 0 and 1,073,741,824"),
        ({"num_labels": 2**31}, "num_labels: must be between 0 and 65,536"),
        ({"head_dim": -1}, "head_dim: must be between 0 and 65,536, got -1"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps: must be a number, got 'small'"),
        ({"layer_norm_epsilon": 2.0}, "layer_norm_epsilon: must be above 0 and at most 1, got 2.0"),
        ({"rope_theta": 0}, "rope_theta: must be above 0"),
        ({"partial_rotary_factor": 128}, "partial_rotary_factor: must be above 0 and at most 1"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "rope_scaling.factor: must be above 0"),
        ({"rope_scaling": "yarn"}, "rope_scaling: must be a table, got 'yarn'"),
        ({"text_config": {"hidden_size": 1}}, "text_config.model_type: is missing, so that nobody knows which text"),
        ({"eos_token_id": 2**54}, "eos_token_id: is too large"),
    ],
)
def test_a_faulty_config_is_refused_by_file_and_field(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    config = {name: value for name, value in {**CONFIG, **changes}.items() if value is not None}
    folder = written(tmp_path / "m", config)
    with pytest.raises(InputError) as error:
        load_recipe(str(folder))
    assert str(error.value).startswith(f"{folder / 'config.json'}: {said}")
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: is not JSON"),
        (b"[1]", "must hold a JSON object, got list"),
        (b'{"a": 1, "a": 2}', "a: stands there twice"),
        (b'{"a": Infinity}', "Infinity is no JSON number"),
        (b'{"a": ' + b"1" * 4000 + b"}", "an integer of 4000 digits is too large"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        (b'{"a": "\xff"}', "is not UTF-8 text, at byte 7"),
    ],
)
def test_what_is_no_config_is_told_for_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_recipe(str(path))
    assert str(error.value).startswith(f"{path}: {said}")


def test_a_config_that_is_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    elsewhere = written(tmp_path / "elsewhere", CONFIG) / "config.json"
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link that leads out of its folder"):
        load_recipe(str(tmp_path / "m"))


@pytest.mark.parametrize("name", ["params.json", "tokenizer.model"])
def test_a_link_out_of_meta_s_folder_is_not_read(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "m")
    (tmp_path / "secret").write_bytes((folder / "params.json").read_bytes())
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("../secret")
    with pytest.raises(InputError, match=f"{name}: is a link that leads out of its folder"):
        load_recipe(str(folder))


def test_a_missing_config_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.json: can't be opened: No such file"):
        load_recipe(str(tmp_path / "config.json"))


def test_a_folder_of_a_gguf_file_is_that_model(tmp_path: Path) -> None:
    (tmp_path / "tiny-Q4_K.gguf").write_bytes(b"GGUF" + bytes(100_000))
    for model in (tmp_path, tmp_path / "tiny-Q4_K.gguf"):
        with pytest.raises(InputError, match=r"tiny-Q4_K\.gguf: version: 2 and 3 are read"):
            load_recipe(str(model))
