"""The small values with a syntax of their own, and what the command line says instead of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracetui.errors import InputError
from tracetui.recipe import Layers, load_recipe, parse_bytes, parse_layers
from tracetui.recipe.options import flag_of, with_options


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("2", 0, 2),
        ("12", 0, 12),
        ("0:2", 0, 2),
        ("3:7", 3, 7),
        ("10:", 10, 12),
        (":3", 0, 3),
        (" 2 ", 0, 2),
        (":", 0, 12),
    ],
)
def test_layers_are_a_count_or_a_range(text: str, start: int, stop: int) -> None:
    layers = parse_layers(text, 12, "--layers")
    assert (layers.start, layers.stop, len(layers)) == (start, stop, stop - start)
    assert [index for index in range(12) if index in layers] == list(range(start, stop))


@pytest.mark.parametrize(
    "text", ["", "0", "13", "3:3", "7:3", "0:13", "-1", "1:-1", "1_0", "٣", "2:x", "1:2:3", "9" * 5000]
)
def test_other_layers_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--layers: must ") as error:
        parse_layers(text, 12, "--layers")
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("4K", 4096),
        ("512M", 2**29),
        ("4G", 2**32),
        ("1.5GiB", 3 * 2**29),
        ("2 gb", 2**31),
        ("1T", 2**40),
    ],
)
def test_sizes_are_in_binary_units(text: str, size: int) -> None:
    assert parse_bytes(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1e3", "4X", "nan", "٣G", "9" * 400, "4G\x1b"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--memory: must be a size like 4G or 512M, got ") as error:
        parse_bytes(text, "--memory")
    assert len(str(error.value)) < 120
    assert str(error.value).isprintable()


def test_options_replace_only_what_they_name() -> None:
    recipe = load_recipe("llama-tiny")
    assert with_options(recipe) == recipe
    changed = with_options(
        recipe, layers="1:3", dtype="float16", seed=9, tokenizer="t", weights="w", prompt="p", memory="1K"
    )
    assert (changed.layers, changed.dtype, changed.seed, changed.tokenizer) == (Layers(1, 3), "float16", 9, "t")
    assert (changed.weights, changed.prompt, changed.memory) == (Path("w"), "p", 1024)
    assert (changed.config, changed.name) == (recipe.config, recipe.name)
    assert with_options(changed, weights="random").weights is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": "99"}, "--layers: must lie within the model's 6 layers"),
        ({"memory": "much"}, "--memory: must be a size"),
        ({"dtype": "int8"}, "--dtype: must be one of auto, float32, bfloat16, float16, got 'int8'"),
        ({"seed": -1}, "--seed: must be between 0 and"),
        ({"seed": 2**63}, "--seed: must be between 0 and"),
    ],
)
def test_a_wrong_option_is_called_what_the_user_calls_it(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        with_options(load_recipe("llama-tiny"), flag_of, **wrong)
    assert str(error.value).startswith(said)
    with pytest.raises(InputError) as error:
        with_options(load_recipe("llama-tiny"), **wrong)
    assert str(error.value).startswith(said.removeprefix("--"))


def test_what_goes_into_a_trace_holds_no_path(tmp_path: Path) -> None:
    recipe = with_options(
        load_recipe("llama-tiny"), weights=str(tmp_path / "llama"), tokenizer=str(tmp_path / "t.model")
    )
    assert str(tmp_path) not in str(recipe.plain())
    assert (recipe.plain()["weights"], recipe.plain()["tokenizer"]) == ("llama", "t.model")
