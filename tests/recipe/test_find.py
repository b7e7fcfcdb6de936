"""From what a user calls a model to its recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.models.meta_files import PARAMS
from tracetui.errors import InputError
from tracetui.recipe import Layers, load_recipe, shipped_recipes
from tracetui.recipe.prompts import WALK_THROUGH


@pytest.fixture
def meta_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "Meta-Llama-Tiny"
    folder.mkdir()
    (folder / "params.json").write_text(json.dumps(dict(PARAMS)))
    return folder


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_is_sound(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.title != name
    assert recipe.prompt or recipe.prompts.random
    assert 0 < len(recipe.layers) <= recipe.layer_count


def test_the_walk_through_is_llama_3_8b_s_first_two_layers() -> None:
    recipe = load_recipe("llama3-2layer")
    assert (recipe.layers, recipe.layer_count, recipe.dtype, recipe.prompt) == (
        Layers(0, 2),
        32,
        "bfloat16",
        WALK_THROUGH,
    )
    assert (recipe.config["hidden_size"], recipe.config["intermediate_size"]) == (4096, 14336)


def test_meta_s_folder_is_a_recipe(meta_folder: Path) -> None:
    recipe = load_recipe(str(meta_folder))
    assert (recipe.name, recipe.weights, recipe.dtype) == ("Meta-Llama-Tiny", meta_folder, "auto")
    assert (recipe.layers, recipe.tokenizer, recipe.prompt) == (Layers(0, 3), "builtin", WALK_THROUGH)
    assert recipe.plain()["weights"] == "Meta-Llama-Tiny"
    (meta_folder / "tokenizer.model").touch()
    assert load_recipe(str(meta_folder)).tokenizer == str(meta_folder / "tokenizer.model")


@pytest.mark.parametrize("name", ["params.json", "consolidated.00.pth"])
def test_a_file_of_meta_s_folder_means_the_folder(meta_folder: Path, name: str) -> None:
    (meta_folder / "consolidated.00.pth").touch()
    assert load_recipe(str(meta_folder / name)).weights == meta_folder


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_recipe(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}: config.json: is missing, and so is params.json; a folder with a model has one of them"
    )


def test_an_adapter_alone_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"adapter_config\.json: is of an adapter, .* merge it into its model"):
        load_recipe(str(tmp_path))


def test_a_fault_in_params_names_file_and_field(meta_folder: Path) -> None:
    (meta_folder / "params.json").write_text(json.dumps({**PARAMS, "n_heads": 7}))
    with pytest.raises(InputError) as error:
        load_recipe(str(meta_folder))
    where = meta_folder / "params.json"
    assert str(error.value) == f"{where}: n_heads: must divide dim, 64, into heads of an even size, got 7"


@pytest.mark.parametrize("name", ["lama3-2layer", "", "\0", "x" * 5000, "no/such/folder", "a\x1b[31m"])
def test_an_unknown_name_lists_those_that_exist(name: str) -> None:
    with pytest.raises(InputError, match=r"no such model.* there are .*llama3-2layer") as error:
        load_recipe(name)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(InputError, match="is llama-tiny meant"):
        load_recipe("lama-tiny")
    with pytest.raises(InputError, match="is llama3-2layer meant"):
        load_recipe("llama3")


@pytest.mark.parametrize("suffix", ["gguf", "safetensors"])
def test_a_missing_file_of_weights_is_told_as_such(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"llama-q4.{suffix}"
    with pytest.raises(InputError) as error:
        load_recipe(str(path))
    assert str(error.value) == f"{path}: no such file"
    (tmp_path / f"llama-q8.{suffix}").touch()
    with pytest.raises(InputError, match=rf"no such file, is llama-q8.{suffix} meant\?"):
        load_recipe(str(path))


def test_a_missing_recipe_file_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"my.toml: can't be opened: No such file"):
        load_recipe(str(tmp_path / "my.toml"))


def test_the_small_deepseek_is_the_large_one_but_for_its_widths() -> None:
    small, large = load_recipe("deepseek-v3-mini"), load_recipe("deepseek-v3")
    apart = {name for name in large.config if small.config[name] != large.config[name]}
    assert apart == {"hidden_size", "intermediate_size", "moe_intermediate_size"}
    assert small.config.keys() == large.config.keys()
    assert len(small.layers) == small.layer_count


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("frobnicate", "no family of that name is known, and num_hidden_layers is missing, got 'frobnicate'"),
        ("lama", "no family of that name is known (is llama meant?), and num_hidden_layers is missing"),
    ],
)
def test_a_type_that_nobody_knows_is_told_before_its_sizes(tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": kind, "d_model": 64, "depth": 2}))
    with pytest.raises(InputError) as error:
        load_recipe(str(path))
    assert str(error.value).startswith(f"{path}: model_type: {said}")


def test_a_known_type_without_a_size_is_told_by_the_size(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", "hidden_size": 64}))
    with pytest.raises(InputError, match="num_hidden_layers: is missing, an integer is needed"):
        load_recipe(str(path))
