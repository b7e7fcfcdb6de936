"""Meta's params.json in transformers' words; sizes are those of the published models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tracetui.errors import InputError
from tracetui.recipe import load_recipe
from tracetui.recipe.meta import llama_config, unknown_fields

LLAMA_3_8B: Mapping[str, object] = {
    "dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024,
    "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05, "rope_theta": 500000.0,
}  # fmt: skip


def changed(**fields: object) -> dict[str, object]:
    return llama_config({**LLAMA_3_8B, **fields}, "params.json")


def without(field: str) -> dict[str, object]:
    return llama_config({name: value for name, value in LLAMA_3_8B.items() if name != field}, "params.json")


def test_llama_3_8b_is_what_its_own_config_says() -> None:
    config = changed()
    expected = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256,
        "rms_norm_eps": 1e-05, "max_position_embeddings": 8192, "tie_word_embeddings": False,
        "bos_token_id": 128000, "eos_token_id": 128001, "attention_bias": False, "mlp_bias": False,
    }  # fmt: skip
    assert {name: config[name] for name in expected} == expected
    assert config["rope_parameters"] == {"rope_type": "default", "rope_theta": 500000.0}


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"dim": 4096, "multiple_of": 256, "ffn_dim_multiplier": None}, 11008),  # Llama 1 and 2, 7B
        (
            {"dim": 5120, "n_heads": 40, "n_kv_heads": None, "multiple_of": 256, "ffn_dim_multiplier": None},
            13824,
        ),  # 13B
        ({"dim": 8192, "n_heads": 64, "multiple_of": 4096}, 28672),  # 70B
        (
            {"dim": 16384, "n_heads": 128, "n_kv_heads": 8, "multiple_of": 4096, "ffn_dim_multiplier": 1.2},
            53248,
        ),  # 405B
        ({"dim": 2048, "multiple_of": 256, "ffn_dim_multiplier": 1.5}, 8192),  # 3.2 1B
        ({"dim": 3072, "n_heads": 24, "multiple_of": 256, "ffn_dim_multiplier": 1.0}, 8192),  # 3.2 3B
    ],
)
def test_the_feed_forward_size_is_the_published_one(fields: Mapping[str, object], size: int) -> None:
    assert changed(**fields)["intermediate_size"] == size


def test_fields_left_out_have_meta_s_defaults() -> None:
    for field, name, value in (
        ("n_kv_heads", "num_key_value_heads", 32),
        ("norm_eps", "rms_norm_eps", 1e-5),
        ("rope_theta", "rope_parameters", {"rope_type": "default", "rope_theta": 10_000.0}),
    ):
        assert without(field)[name] == value
        assert changed(**{field: None})[name] == value


def test_stretched_rotary_embedding_has_llama_3_1_s_numbers() -> None:
    config = changed(use_scaled_rope=True)
    assert config["max_position_embeddings"] == 131_072
    assert config["rope_parameters"] == {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


def test_a_vocabulary_too_small_for_the_special_tokens_has_none() -> None:
    assert (changed(vocab_size=300)["bos_token_id"], changed(vocab_size=300)["eos_token_id"]) == (None, None)
    assert (changed(vocab_size=128001)["bos_token_id"], changed(vocab_size=128001)["eos_token_id"]) == (128000, None)


NOT_INTEGERS: tuple[object, ...] = (True, 4.0, "4", [4], {}, -4, 0, 2**40, 10**30)


@pytest.mark.parametrize("value", NOT_INTEGERS, ids=repr)
@pytest.mark.parametrize("field", ["dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "multiple_of"])
def test_a_wrong_size_is_named(field: str, value: object) -> None:
    with pytest.raises(InputError) as error:
        changed(**{field: value})
    assert str(error.value).startswith(f"params.json: {field}: ")
    assert str(error.value).endswith(f"got {value!r}")


@pytest.mark.parametrize("value", [True, "1", [1.0], -1.0, 0, 0.0, 1e30, float("nan"), float("inf")], ids=repr)
@pytest.mark.parametrize("field", ["norm_eps", "rope_theta", "ffn_dim_multiplier", "rope_scaling_factor"])
def test_a_wrong_number_is_named(field: str, value: object) -> None:
    with pytest.raises(InputError) as error:
        changed(**{"use_scaled_rope": True, field: value})
    assert str(error.value).startswith(f"params.json: {field}: ")
    assert str(error.value).endswith(f"got {value!r}")


@pytest.mark.parametrize("field", ["dim", "n_layers", "n_heads", "vocab_size"])
def test_a_missing_size_is_named(field: str) -> None:
    with pytest.raises(InputError, match=rf"^params.json: {field}: is missing, an integer is needed$"):
        without(field)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n_heads": 3}, "n_heads: must divide dim, 4096, into heads of an even size, got 3"),
        ({"n_heads": 4096}, "n_heads: must divide dim, 4096, into heads of an even size, got 4096"),
        ({"n_kv_heads": 5}, "n_kv_heads: must divide n_heads, 32, got 5"),
        ({"n_kv_heads": 64}, "n_kv_heads: must divide n_heads, 32, got 64"),
        ({"vocab_size": -1}, "vocab_size: is left to the tokenizer; write its size there, 32000 for Llama 1"),
        ({"use_scaled_rope": "yes"}, "use_scaled_rope: must be true or false, got 'yes'"),
        ({"use_scaled_rope": True, "rope_high_freq_factor": 1.0}, "rope_high_freq_factor: must be above 1 and"),
        ({"ffn_dim_multiplier": 1e-9}, "ffn_dim_multiplier: must give a hidden size between 1 and 16,777,216, not 0"),
        ({"dim": 2**20, "ffn_dim_multiplier": 900}, "ffn_dim_multiplier: must give a hidden size between 1 and"),
        ({"moe_args": {"num_experts": 16}}, "moe_args: describes a kind of model that tracetui doesn't build"),
        ({"vision_chunk_size": 560}, "vision_chunk_size: describes a kind of model that tracetui doesn't build"),
        ({"quantization_args": {}}, "quantization_args: describes a kind of model that tracetui doesn't build"),
        ({"extra": [float("nan")]}, "extra[0]: must be finite, got nan"),
    ],
)  # fmt: skip
def test_fields_that_contradict_each_other_are_named(fields: Mapping[str, object], said: str) -> None:
    with pytest.raises(InputError) as error:
        changed(**fields)
    assert str(error.value).startswith(f"params.json: {said}")


def test_a_text_model_of_the_vision_family_is_built() -> None:
    assert changed(vision_chunk_size=-1) == changed()


def test_unknown_fields_are_told_beside_every_result(tmp_path: Path) -> None:
    params = {**LLAMA_3_8B, "sliding\x1b": 1, "max_seq_len": 2048}
    assert unknown_fields(params) == ("sliding\x1b",)
    (tmp_path / "params.json").write_text(json.dumps(params))
    assert load_recipe(str(tmp_path)).notes == ("params.json: sliding␛ is not known and read over",)
