"""The tokenizer that ships with tracetui, and how it is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.tokenizers.samples import WALK_THROUGH, learnt
from tracetui.errors import InputError
from tracetui.models.tokenizers import load_tokenizer
from tracetui.models.tokenizers.build import CORPUS, build
from tracetui.models.tokenizers.families import LLAMA3_PATTERN
from tracetui.models.tokenizers.load import BUILTIN_RANKS
from tracetui.models.tokenizers.train import train
from tracetui.recording.record import Token


def test_committed_file_is_what_the_script_builds() -> None:
    assert BUILTIN_RANKS.read_bytes() == build()


def test_walk_through_prompt_is_seventeen_tokens_each_word_one() -> None:
    tokens = load_tokenizer("builtin", 128_256).encode(WALK_THROUGH)
    assert [token.bytes for token in tokens] == [
        b"<|begin_of_text|>",
        *(piece.encode() for piece in regex.findall(LLAMA3_PATTERN, WALK_THROUGH)),
    ]
    assert len(tokens) == 17


@pytest.mark.parametrize(
    "prompt",
    [
        " The quick brown fox jumps over the lazy dog.",
        "What is the capital of France?",
        "Once upon a time, there was a king who had three daughters.",
        "Explain how a language model works to a child.",
        "When Mary and John went to the store, John gave a drink to",
    ],
)
def test_usual_prompts_fall_into_words(prompt: str) -> None:
    tokens = load_tokenizer("builtin", 128_256).encode(prompt)
    assert len(tokens) - 1 == len(regex.findall(LLAMA3_PATTERN, prompt))


def test_name_says_that_it_is_not_the_models_own() -> None:
    assert load_tokenizer("builtin", 4098).name == "built-in byte-level BPE, 4,096 tokens (not the model's own)"
    assert load_tokenizer("builtin", 1000).name == "built-in byte-level BPE, 998 tokens (not the model's own)"


@settings(max_examples=25)
@given(vocab_size=st.integers(258, 5000))
def test_no_id_is_beyond_a_small_models_vocabulary(vocab_size: int) -> None:
    tokenizer = load_tokenizer("builtin", vocab_size)
    assert tokenizer.vocab_size == min(vocab_size, 4098)
    tokens = tokenizer.encode(WALK_THROUGH + "<|end_of_text|>")
    assert max(token.id for token in tokens) == tokenizer.vocab_size - 1


def test_cut_ranks_merge_as_far_as_they_go() -> None:
    assert len(load_tokenizer("builtin", 258).encode(WALK_THROUGH)) == 1 + len(WALK_THROUGH.encode())


@pytest.mark.parametrize("vocab_size", [257, 1, 0])
def test_a_model_too_small_for_all_bytes_takes_ids_alone(vocab_size: int) -> None:
    tokenizer = load_tokenizer("builtin", vocab_size)
    with pytest.raises(InputError, match=f"needs a model of at least 258 token ids.*got {vocab_size}.*--tokens"):
        tokenizer.encode("a")
    assert tokenizer.token(0) == Token(0, b"")
    assert tokenizer.decode([0]) == b""


def test_every_merge_is_of_two_earlier_tokens() -> None:
    tokens = learnt()
    rank = {token: place for place, token in enumerate(tokens)}
    for token in tokens[256:]:
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        assert any(max(rank.get(left, 9999), rank.get(right, 9999)) < rank[token] for left, right in halves)


def test_training_by_hand() -> None:
    # ab 5+2, bc 5, xy 4: `ab` first, then `abc` out of `ab`+`c`, then `xy`; `d` has no neighbour left that counts.
    assert train({b"abc": 5, b"ab": 2, b"xy": 4}, 259)[256:] == [b"ab", b"abc", b"xy"]


def test_equals_are_merged_in_the_order_of_their_bytes() -> None:
    assert train({b"yz": 3, b"ab": 3, b"mn": 3}, 259)[256:] == [b"ab", b"mn", b"yz"]
    assert train({b"mn": 3, b"yz": 3, b"ab": 3}, 259) == train({b"yz": 3, b"ab": 3, b"mn": 3}, 259)


def test_run_of_one_letter() -> None:
    # Four overlapping `aa`; then aa·aa·a, where `aaa` sorts before `aaaa`; then aa·aaa.
    assert train({b"aaaaa": 1}, 259)[256:] == [b"aa", b"aaa", b"aaaaa"]


def test_too_little_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no text to learn from"):
        build(tmp_path)
    (tmp_path / "one.txt").write_text("ab")
    with pytest.raises(InputError, match="too small for 300 tokens, got 257"):
        build(tmp_path, 300)


def test_lists_of_words_weigh_more(tmp_path: Path) -> None:
    (tmp_path / "prose.txt").write_text("xy xy")
    (tmp_path / "words.txt").write_text("ab")
    assert build(tmp_path, 257).endswith(b"YWI= 256\n")


def test_corpus_is_text_and_large_enough() -> None:
    texts = [file.read_text(encoding="utf-8") for file in sorted(CORPUS.glob("*.txt"))]
    assert sum(map(len, texts)) > 80_000


def test_neither_torch_nor_transformers_is_imported() -> None:
    code = (
        "import sys; from tracetui.models.tokenizers import load_tokenizer; load_tokenizer('builtin', 500).encode('x');"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
