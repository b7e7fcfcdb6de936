"""Numbers of a GGUF file that nothing can be computed with are refused by their key."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.formats.gguf_bytes import ARRAY, F32, F64, U32, Tensor, array, usual, value
from tracetui.errors import InputError
from tracetui.recipe import load_recipe

KEYS = {
    "embedding_length": 64,
    "block_count": 1,
    "attention.head_count": 2,
    "feed_forward_length": 32,
    "context_length": 64,
}


def config_of(folder: Path, architecture: str, key: str, number: float, wide: bool) -> Mapping[str, object]:
    """Of a file of an architecture's keys and its table of tokens alone, with one number."""
    entries = {f"{architecture}.{name}": (U32, value(U32, size)) for name, size in KEYS.items()}
    entries["general.architecture"] = (8, value(8, architecture))
    entries[f"{architecture}.{key}"] = (F64, struct.pack("<d", number)) if wide else (F32, struct.pack("<f", number))
    return load_recipe(str(written(folder, entries))).config


def written(folder: Path, entries: Mapping[str, tuple[int, bytes]]) -> Path:
    """A file of these keys and a table of tokens alone."""
    path = folder / "m.gguf"
    path.write_bytes(usual(dict(entries), [Tensor("token_embd.weight", [64, 16], 0, 0)], 64 * 16 * 4))
    return path


IN_FLOAT32 = "must be 0, or of a size from 1.2e-38 to 3.4e+38, as float32 has it, got "
REFUSED = [
    (1e-310, IN_FLOAT32),
    (1e-45, IN_FLOAT32),
    (1e300, IN_FLOAT32),
    (math.inf, "must be a finite number, got inf"),
]
REFUSED += [(math.nan, "must be a finite number, got nan")]


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(
    ("number", "problem"), [*REFUSED, (0.0, "must be above 0, got 0.0"), (-1.0, "must be above 0")]
)
@pytest.mark.parametrize(
    ("architecture", "key"),
    [("llama", "rope.freq_base"), ("gemma2", "attn_logit_softcapping"), ("gemma3", "rope.freq_base_swa")],
)
def test_what_is_divided_by_is_a_number_above_0(
    tmp_path: Path, architecture: str, key: str, number: float, problem: str, wide: bool
) -> None:
    if not wide and number in (1e-310, 1e300):
        return
    with pytest.raises(InputError) as error:
        config_of(tmp_path, architecture, key, number, wide)
    assert f"m.gguf: {architecture}.{key}: {problem}" in str(error.value)


@pytest.mark.parametrize(("number", "problem"), REFUSED)
def test_other_numbers_have_a_size_that_float32_has(tmp_path: Path, number: float, problem: str) -> None:
    for key in ("attention.layer_norm_rms_epsilon", "rope.scaling.factor"):
        with pytest.raises(InputError) as error:
            config_of(tmp_path, "llama", key, number, wide=True)
        assert f"m.gguf: llama.{key}: {problem}" in str(error.value)


@pytest.mark.parametrize(
    ("architecture", "key", "number", "problem"),
    [
        ("llama", "rope.freq_base", 1e38, "must be above 0 and at most 1e+12, got 1e+38"),
        ("llama", "rope.scaling.factor", 1e20, "must be above 0 and at most 1e+12, got 1e+20"),
        ("llama", "attention.layer_norm_rms_epsilon", 2.0, "must be above 0 and at most 1, got 2.0"),
        ("gemma3", "rope.freq_base", 1e38, "must be above 0 and at most 1e+12, got 1e+38"),
        ("gemma3", "rope.freq_base_swa", 1e38, "must be above 0 and at most 1e+12, got 1e+38"),
    ],
)
def test_a_number_that_no_model_has_is_refused_by_its_key(
    tmp_path: Path, architecture: str, key: str, number: float, problem: str
) -> None:
    with pytest.raises(InputError) as error:
        config_of(tmp_path, architecture, key, number, wide=True)
    assert str(error.value).endswith(f"m.gguf: {architecture}.{key}: {problem}")


@pytest.mark.parametrize(
    ("key", "number", "problem"),
    [
        ("block_count", 5000, "must be between 1 and 4,096, got 5000"),
        ("embedding_length", 2**21, "must be between 1 and 1,048,576, got 2097152"),
        ("attention.head_count_kv", 4, "must divide llama.attention.head_count, 2, got 4"),
    ],
)
def test_a_size_that_no_model_has_is_refused_by_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, number: int, problem: str
) -> None:
    monkeypatch.setitem(KEYS, key, number)
    with pytest.raises(InputError) as error:
        config_of(tmp_path, "llama", "rope.freq_base", 1e4, wide=False)
    assert str(error.value).endswith(f"m.gguf: llama.{key}: {problem}")


@pytest.mark.parametrize("key", ["attention.head_count", "attention.head_count_kv", "feed_forward_length"])
def test_numbers_of_fewer_layers_than_there_are_are_refused(tmp_path: Path, key: str) -> None:
    entries = {f"llama.{name}": (U32, value(U32, size)) for name, size in {**KEYS, "block_count": 3}.items()}
    entries["general.architecture"] = (8, value(8, "llama"))
    entries[f"llama.{key}"] = ARRAY, array(U32, [2, 2, 2])
    assert load_recipe(str(written(tmp_path, entries))).config
    entries[f"llama.{key}"] = ARRAY, array(U32, [2, 2])
    with pytest.raises(InputError, match=f"llama.{key}: must have a number for each of 3 layers, and has 2"):
        load_recipe(str(written(tmp_path, entries)))


@pytest.mark.parametrize("used", [0, 9])
def test_more_chosen_experts_than_there_are_or_none_are_refused_by_their_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: int
) -> None:
    for key, number in (("expert_count", 8), ("expert_used_count", used)):
        monkeypatch.setitem(KEYS, key, number)
    with pytest.raises(InputError, match=f"expert_used_count: must be between 1 and expert_count, 8, got {used}"):
        config_of(tmp_path, "llama", "rope.freq_base", 1e4, wide=False)


def test_a_0_that_stands_for_none_is_read_as_that(tmp_path: Path) -> None:
    plain = config_of(tmp_path, "llama", "rope.freq_base", 1e4, wide=False)
    assert config_of(tmp_path, "llama", "rope.scaling.factor", 0.0, wide=True) == plain
    capped = config_of(tmp_path, "gemma3", "final_logit_softcapping", 0.0, wide=True)
    assert capped.get("final_logit_softcapping") is None


def test_a_config_json_s_number_below_those_of_float32_is_refused(tmp_path: Path) -> None:
    plain = config_of(tmp_path, "llama", "rope.freq_base", 1e4, wide=False)
    (tmp_path / "m.gguf").unlink()
    text = str({**plain, "rms_norm_eps": 1e-310}).replace("'", '"').replace("True", "true").replace("False", "false")
    (tmp_path / "config.json").write_text(text.replace("None", "null"))
    with pytest.raises(InputError, match=r"rms_norm_eps: must be at least 1\.2e-38, as float32 has no smaller"):
        load_recipe(str(tmp_path))


def test_norms_of_which_the_file_does_not_say_what_they_add_are_told(tmp_path: Path) -> None:
    entries = {"general.architecture": (8, value(8, "llama"))}
    entries |= {f"llama.{name}": (U32, value(U32, size)) for name, size in KEYS.items()}
    missing = "m.gguf: llama.attention.layer_norm_rms_epsilon is missing: norms add what transformers' class has"
    (note,) = load_recipe(str(written(tmp_path, entries))).notes
    assert note.startswith(missing)
    entries["llama.attention.layer_norm_rms_epsilon"] = (F32, value(F32, 1e-5))
    assert load_recipe(str(written(tmp_path, entries))).notes == ()


@pytest.mark.parametrize(
    ("kind", "numbers", "problem"),
    [
        (F32, [32.0, 32.0], r"must be a whole number, or one for each layer, got \[32.0, 32.0\]"),
        (U32, [32, 16], r"differs from layer to layer, and tracetui builds layers that are alike, got \[32, 16\]"),
    ],
)
def test_an_array_in_place_of_a_number_is_told_for_what_it_is(
    tmp_path: Path, kind: int, numbers: list[float], problem: str
) -> None:
    entries = {"general.architecture": (8, value(8, "llama"))}
    entries |= {f"llama.{name}": (U32, value(U32, size)) for name, size in KEYS.items()}
    entries["llama.feed_forward_length"] = (ARRAY, array(kind, numbers))
    with pytest.raises(InputError, match=f"llama.feed_forward_length: {problem}"):
        load_recipe(str(written(tmp_path, entries)))
