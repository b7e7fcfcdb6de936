"""Recipe files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tracetui.errors import InputError
from tracetui.recipe import Layers, Prompts, load_recipe
from tracetui.recipe.options import OPTIONS

CONFIG = """
[config]
model_type = "llama"
vocab_size = 100
hidden_size = 32
intermediate_size = 48
num_hidden_layers = 4
num_attention_heads = 4
"""
BASE = {
    "model_type": "llama",
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}
PARAMS = "[params]\ndim = 64\nn_layers = 3\nn_heads = 4\nvocab_size = 300\n"


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_what_is_left_out_has_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, CONFIG))
    assert (recipe.name, recipe.title, recipe.dtype, recipe.seed) == ("mine", "mine", "auto", 0)
    assert (recipe.layers, recipe.tokenizer, recipe.weights, recipe.prompt) == (Layers(0, 4), "builtin", None, "")


VALUES = {
    "layers": '"1:3"',
    "weights": '"w"',
    "tokenizer": '"t/x.model"',
    "dtype": '"float16"',
    "seed": "7",
    "device": '"cuda:1"',
    "mla": '"absorb"',
    "prompt": '"p"',
    "random_tokens": "[2, 3]",
    "chat": "true",
    "system": '"s"',
}
"""A value of each key that isn't the default."""


@pytest.mark.parametrize("name", [option.name for option in OPTIONS.values() if option.in_recipes])
def test_every_option_that_may_stand_in_a_recipe_changes_it(tmp_path: Path, name: str) -> None:
    plain = load_recipe(written(tmp_path, CONFIG))
    assert load_recipe(written(tmp_path, f"{name} = {VALUES[name]}\n{CONFIG}")) != plain


def test_everything_that_is_said_is_kept(tmp_path: Path) -> None:
    said = 'title="T"\nprompt=" p "\nlayers="1:3"\ndtype="float16"\nseed=7\ntokenizer="t/x.model"\nweights="w"\n'
    recipe = load_recipe(written(tmp_path, said + PARAMS))
    assert (recipe.title, recipe.prompt, recipe.layers, recipe.dtype, recipe.seed) == (
        "T",
        " p ",
        Layers(1, 3),
        "float16",
        7,
    )
    assert (recipe.tokenizer, recipe.weights) == (str(tmp_path / "t" / "x.model"), tmp_path / "w")
    assert recipe.config["hidden_size"] == 64


def test_a_base_s_fields_stand_but_for_those_that_are_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(BASE))
    (tmp_path / "base.toml").write_text(CONFIG)
    (tmp_path / "params.json").write_text('{"dim": 64, "n_layers": 3, "n_heads": 4, "vocab_size": 300}')
    for base in ("config.json", "base.toml"):
        recipe = load_recipe(written(tmp_path, f'base = "{base}"\nlayers = 2\n[config]\nhidden_size = 64\n'))
        assert recipe.config == {**BASE, "hidden_size": 64}
        assert recipe.layers == Layers(0, 2)
    assert load_recipe(written(tmp_path, 'base = "config.json"')).config == BASE
    meta = load_recipe(written(tmp_path, 'base = "params.json"\n[params]\nn_layers = 5\n'))
    assert (meta.config["hidden_size"], meta.layers) == (64, Layers(0, 5))


def test_a_shipped_recipe_may_be_the_base(tmp_path: Path) -> None:
    changes = {"hidden_size": 256, "intermediate_size": 1024, "moe_intermediate_size": 128}
    said = "\n".join(f"{field} = {value}" for field, value in changes.items())
    recipe = load_recipe(written(tmp_path, f'base = "deepseek-v3"\n[config]\n{said}\n'))
    assert recipe.config == {**load_recipe("deepseek-v3").config, **changes}
    assert recipe.name == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('base = "gone.json"', r"gone\.json: can't be opened: No such file"),
        ('base = "broken.json"', r"broken\.json: hidden_size: must be an integer, got 'wide'"),
        (
            'base = "config.json"\n[config]\nhidden_size = "wide"',
            r"mine\.toml: config\.hidden_size: must be",
        ),
        ('base = "config.json"\n[params]\ndim = 3', r"mine\.toml: base: has the fields of a \[config\].*\[params\]"),
        ('base = "mine.toml"', r"mine\.toml: base: must be missing from a recipe that another one is based on"),
        ("base = 3", r"mine\.toml: base: must be a text, got 3"),
    ],
)
def test_a_base_that_is_none_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(BASE))
    (tmp_path / "broken.json").write_text(json.dumps({**BASE, "hidden_size": "wide"}))
    with pytest.raises(InputError, match=said):
        load_recipe(written(tmp_path, text))


def test_prompts_may_be_several_or_random_ids(tmp_path: Path) -> None:
    several = load_recipe(written(tmp_path, f'prompt = ["a", "b\\n"]\nchat = true\nsystem = "s"\n{CONFIG}'))
    assert several.prompts == Prompts(("a", "b\n"), chat=True, system="s")
    assert several.plain()["prompt"] == ["a", "b\n"]
    assert load_recipe(written(tmp_path, f"random_tokens = [4, 64]\n{CONFIG}")).prompts == Prompts(random=(4, 64))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"prompt = 3\n{CONFIG}", "prompt: must be a text or a list of texts, got 3"),
        (f"prompt = []\n{CONFIG}", "prompt: a batch has 1 to 1,024 prompts, got 0"),
        (f"prompt = ['a', '']\n{CONFIG}", "prompt[1]: must be a text that is not empty, got ''"),
        (f"prompt = ['a', 3]\n{CONFIG}", "prompt[1]: must be a text that is not empty, got 3"),
        (f"random_tokens = 4\n{CONFIG}", "random_tokens: must be rows and tokens like [4, 64], got 4"),
        (f"random_tokens = [4, true]\n{CONFIG}", "random_tokens: must be rows and tokens like"),
        (f"random_tokens = [0, 4]\n{CONFIG}", "random_tokens: a batch has 1 to 1,024 prompts, got 0"),
        (f"random_tokens = [1, 0]\n{CONFIG}", "random_tokens: a row has 1 to 1,048,576 tokens, got 0"),
        (f"chat = true\nrandom_tokens = [1, 1]\n{CONFIG}", "chat: needs texts"),
        (f"chat = 1\n{CONFIG}", "chat: must be true or false, got 1"),
        (f"prompt = 'a'\nrandom_tokens = [1, 1]\n{CONFIG}", "random_tokens: stands beside a prompt"),
        ("", "config: a recipe has one table of [config], [params] and [reference]"),
        (CONFIG + PARAMS, "config: a recipe has one table of [config], [params] and [reference]"),
        ("config = 3", "config: must be a table, got 3"),
        ("model = 1", "model: is not a key of a recipe; there are title, layers,"),
        ('"\\u001b" = 1', "␛: is not a key of a recipe"),
        ("title = [", "is not TOML: "),
        ("title = 3\n" + CONFIG, "title: must be a text, got 3"),
        ("layers = true\n" + CONFIG, "layers: must be a count like 2 or a range like '3:7', got True"),
        ("layers = 9\n" + CONFIG, "layers: must lie within the model's 4 layers and hold at least one, got '9'"),
        ("layers = '4:'\n" + CONFIG, "layers: must lie within the model's 4 layers"),
        ("dtype = 'int8'\n" + CONFIG, "dtype: must be one of auto, float32, bfloat16, float16, got 'int8'"),
        ("seed = -1\n" + CONFIG, "seed: must be between 0 and"),
        ("seed = 1.5\n" + CONFIG, "seed: must be an integer, got 1.5"),
        (CONFIG.replace("llama", "").replace('model_type = ""', ""), "config.model_type: is missing, a text is needed"),
        (CONFIG.replace("= 32", "= 33"), "config.num_attention_heads: must divide hidden_size, 33"),
        (CONFIG.replace("= 4\n", "= 4.0\n"), "config.num_hidden_layers: must be an integer, got 4.0"),
        (CONFIG + "num_key_value_heads = 3", "config.num_key_value_heads: must divide num_attention_heads, 4, got 3"),
        (CONFIG + "rms_norm_eps = nan", "rms_norm_eps: must be finite, got nan"),
        (CONFIG + "rope_parameters = 1", "config.rope_parameters: must be a table, got 1"),
        (CONFIG + "rope_parameters = {rope_theta = 0}", "config.rope_parameters.rope_theta: must be above 0"),
        (PARAMS.replace("= 4", "= 5"), "params.n_heads: must divide dim, 64"),
        ("#" * (64 * 2**10 + 1), "larger than the 65,536 bytes"),
    ],
)
def test_a_faulty_recipe_is_refused_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as error:
        load_recipe(path)
    assert str(error.value).startswith(f"{path}: {said}")
    assert str(error.value).isprintable()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(InputError, match="is not UTF-8 text, at byte 9"):
        load_recipe(str(tmp_path / "mine.toml"))
