"""What a GGUF file says of tokens, in the recipe that it implies: its tokenizer, and where generating stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.formats.gguf_bytes import U32, Tensor, usual, value
from tests.models.tokenizers.gguf_files import byte_level, typed, written
from tracetui.formats.gguf import read_header
from tracetui.recipe import Recipe, load_recipe
from tracetui.recipe.gguf.end_tokens import end_token_ids

KEYS = {
    "embedding_length": 64,
    "block_count": 1,
    "attention.head_count": 2,
    "feed_forward_length": 32,
    "context_length": 64,
}
TOKENS = "tokenizer.ggml.tokens"


def model_file(path: Path, metadata: dict[str, Any], vocabulary: int = 16) -> Path:
    """A file of a Llama's keys and its table of tokens alone."""
    entries = {key: typed(item) for key, item in metadata.items() if item is not None}
    entries |= {f"llama.{name}": (U32, value(U32, number)) for name, number in KEYS.items()}
    path.write_bytes(usual(entries, [Tensor("token_embd.weight", [64, vocabulary], 0, 0)], 64 * vocabulary * 4))
    return path


def recipe_of(path: Path, *tokens: str, **changes: Any) -> Recipe:
    return load_recipe(
        str(model_file(path, byte_level(**{TOKENS: list(tokens), "tokenizer.ggml.token_type": None}, **changes)))
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_a_model_has_the_tokenizer_of_its_file(path: Path) -> None:
    assert recipe_of(path, "a", "b").tokenizer == str(path)
    assert load_recipe(str(path.parent)).tokenizer == str(path)


@pytest.mark.parametrize("kind", [None, "none", "no_vocab"])
def test_without_one_it_has_the_built_in_one(path: Path, kind: str | None) -> None:
    assert recipe_of(path, "a", **{"tokenizer.ggml.model": kind}).tokenizer == "builtin"


def test_a_config_json_beside_keeps_the_files_tokenizer(path: Path) -> None:
    recipe = recipe_of(path, "a", "b")
    (path.parent / "config.json").write_text(json.dumps({**recipe.config, "vocab_size": 16}))
    beside = load_recipe(str(path.parent))
    assert (beside.origin, beside.tokenizer) == (str(path.parent / "config.json"), str(path))
    (path.parent / "tokenizer.json").write_text("{}")
    assert load_recipe(str(path.parent)).tokenizer == str(path.parent / "tokenizer.json")


def test_generating_stops_at_every_token_that_ends_a_text_or_a_turn(path: Path) -> None:
    recipe = recipe_of(path, "a", "<|im_end|>", "b", "<|endoftext|>", **{"tokenizer.ggml.eos_token_id": 0})
    assert recipe.config["eos_token_id"] == [0, 1, 3]
    assert recipe_of(path, "a", "b", **{"tokenizer.ggml.eos_token_id": 1}).config["eos_token_id"] == 1
    assert recipe_of(path, "a", **{"tokenizer.ggml.eos_token_id": None}).config["eos_token_id"] is None


@pytest.mark.parametrize(
    ("tokens", "keys", "ends"),
    [
        (["x", "<|end|>"], {}, [1]),
        (["<|return|>", "<|call|>", "<|end|>"], {}, [0, 1]),
        (["</s>", "<|tool_response>"], {}, [1]),
        (["</s>", "<fim_pad>", "<|file_sep|>", "<think>"], {}, [0, 1, 2]),
        (["a", "b", "<fim_pad>"], {"fim_pad": 0, "eot": 1, "eom": 9}, [0, 1]),
    ],
)
def test_which_tokens_end_is_as_llama_cpp_has_it(
    path: Path, tokens: list[str], keys: dict[str, int], ends: list[int]
) -> None:
    numbers = {f"tokenizer.ggml.{name}_token_id": number for name, number in keys.items()}
    changes = {TOKENS: tokens, "tokenizer.ggml.eos_token_id": None, **numbers}
    assert end_token_ids(read_header(written(path, byte_level(**changes))).metadata) == ends
