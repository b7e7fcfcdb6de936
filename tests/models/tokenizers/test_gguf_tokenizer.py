"""The tokenizer of a GGUF file: llama.cpp's ids, the text's own bytes, and refusals by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from tests.models.tokenizers.gguf_cases import cases, recorded
from tests.models.tokenizers.gguf_files import SPECIAL, TEXTS, byte_level, scored, written
from tests.models.tokenizers.samples import BIG
from tests.models.tokenizers.samples import TEXTS as ANY_TEXTS
from tracetui.errors import InputError
from tracetui.models.tokenizers import Tokenizer, load_tokenizer

LLAMA_CPP = recorded()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vocabularies")


@pytest.fixture(scope="module")
def by_bytes(folder: Path) -> Tokenizer:
    return load_tokenizer(str(written(folder / "bytes.gguf", byte_level())), BIG)


@pytest.fixture(scope="module")
def by_scores(folder: Path) -> Tokenizer:
    return load_tokenizer(str(written(folder / "scores.gguf", scored())), BIG)


def opened(folder: Path, metadata: dict[str, Any]) -> Tokenizer:
    return load_tokenizer(str(written(folder / "model.gguf", metadata)), BIG)


def ids(tokenizer: Tokenizer, text: str, **how: bool) -> list[int]:
    return [token.id for token in tokenizer.encode(text, **how)]


@pytest.mark.parametrize("case", cases())
def test_ids_are_those_of_llama_cpp(folder: Path, case: str) -> None:
    tokenizer = opened(folder, cases()[case])
    made = [ids(tokenizer, text, around=asked, specials=asked) for text in TEXTS for asked in (False, True)]
    assert made == LLAMA_CPP[case]


@settings(max_examples=150)
@given(ANY_TEXTS)
def test_tokens_have_the_bytes_of_the_text(by_bytes: Tokenizer, by_scores: Tokenizer, text: str) -> None:
    for tokenizer in (by_bytes, by_scores):
        tokens = tokenizer.encode(text, around=False)
        if "▁" in text and tokenizer is by_scores:
            continue  # which stands for a blank there
        assert b"".join(token.bytes for token in tokens) == text.encode()


def test_the_blank_in_front_is_not_the_texts(by_scores: Tokenizer) -> None:
    begin, *rest = by_scores.encode("the <|im_end|>the")
    assert (begin.bytes, begin.special) == (b"<s>", True)
    assert [token.bytes for token in rest] == [b"the", b" ", b"<|im_end|>", b"the"]
    assert rest[0].id == rest[-1].id
    assert by_scores.token(rest[0].id).bytes == b" the"


def test_control_tokens_only_by_leave_and_added_ones_always(by_bytes: Tokenizer) -> None:
    assert by_bytes.special_names == frozenset(SPECIAL) - {"<think>", "</think>"}
    text = "<|im_start|><think>"
    assert [token.bytes for token in by_bytes.encode(text)] == [b"<|im_start|>", b"<think>"]
    plain = by_bytes.encode(text, specials=False)
    assert len(plain) > 2
    assert (plain[-1].bytes, plain[-1].special) == (b"<think>", False)
    assert b"".join(token.bytes for token in plain) == text.encode()


def test_of_special_tokens_that_overlap_the_longest_is_cut_out(folder: Path) -> None:
    metadata = byte_level()
    metadata["tokenizer.ggml.tokens"] = [*metadata["tokenizer.ggml.tokens"], "xy", "yzz"]
    metadata["tokenizer.ggml.token_type"] = [*metadata["tokenizer.ggml.token_type"], 4, 4]
    assert [token.bytes for token in opened(folder, metadata).encode("xyzz")] == [b"x", b"yzz"]


def test_a_way_of_cutting_that_is_not_known_refuses_text_by_its_name(folder: Path) -> None:
    tokenizer = opened(folder, byte_level(**{"tokenizer.ggml.pre": "gpt-9"}))
    with pytest.raises(InputError, match=r"model\.gguf: tokenizer\.ggml\.pre: .*got 'gpt-9'"):
        tokenizer.encode("hi")
    assert tokenizer.token(ids_of_name(tokenizer, "a")).bytes == b"a"


@pytest.mark.parametrize("model", ["t5", "bert", "rwkv", "plamo2"])
def test_a_kind_of_tokenizer_that_is_not_known_refuses_text_by_its_name(folder: Path, model: str) -> None:
    tokenizer = opened(folder, scored(**{"tokenizer.ggml.model": model}))
    with pytest.raises(InputError, match=rf"tokenizer\.ggml\.model: .*--tokens.*got '{model}'"):
        tokenizer.encode("hi")


def test_a_file_that_names_no_way_of_cutting_is_told_of(folder: Path) -> None:
    (remark,) = opened(folder, byte_level(**{"tokenizer.ggml.pre": None})).remarks
    assert "model.gguf: tokenizer.ggml.pre is missing" in remark
    assert not opened(folder, byte_level()).remarks
    assert not opened(folder, scored()).remarks


TOKENS, KINDS, SCORES = (f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "scores"))


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        (byte_level(**{TOKENS: None}), "tokenizer.ggml.tokens: is missing"),
        (byte_level(**{TOKENS: []}), "tokenizer.ggml.tokens: is missing"),
        (byte_level(**{TOKENS: ["a", "b", "a"]}), "'a' is token 0 and token 2"),
        (byte_level(**{KINDS: [1, 1]}), "tokenizer.ggml.token_type: must have one number for each of the"),
        (byte_level(**{"tokenizer.ggml.merges": None}), "tokenizer.ggml.merges: is missing"),
        (byte_level(**{"tokenizer.ggml.model": None}), "tokenizer.ggml.model: is missing"),
        (scored(**{SCORES: [0.0]}), "tokenizer.ggml.scores: must have one number"),
        (scored(**{SCORES: [float("nan")] * 5000}), "tokenizer.ggml.scores: must be finite"),
        (scored(**{SCORES: "x"}), "tokenizer.ggml.scores: must be an array of numbers"),
        (byte_level(**{"tokenizer.ggml.add_bos_token": 1}), "tokenizer.ggml.add_bos_token: must be true or false"),
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(folder: Path, metadata: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as error:
        opened(folder, metadata)
    assert problem in str(error.value)
    assert "model.gguf: " in str(error.value)


def test_a_character_without_a_token_is_named(folder: Path) -> None:
    metadata = scored()
    tokens, kinds = metadata[TOKENS], metadata[KINDS]
    metadata[TOKENS] = [f"no byte {place}" if kinds[place] == 6 else token for place, token in enumerate(tokens)]
    with pytest.raises(InputError, match="'火' is no token of the model, nor is its byte 0xE7"):
        opened(folder, metadata).encode("火")


@pytest.mark.parametrize("make", [byte_level, scored])
def test_a_token_that_is_no_utf_8_has_the_bytes_of_the_file(folder: Path, make: Callable[[], dict[str, Any]]) -> None:
    metadata = make()
    place = len(metadata[TOKENS]) - len(SPECIAL) - 1
    metadata[TOKENS] = [b"\xffa" if number == place else token for number, token in enumerate(metadata[TOKENS])]
    tokenizer = opened(folder, metadata)
    assert tokenizer.token(place).bytes == b"\xffa"
    assert tokenizer.decode([place, place]) == b"\xffa\xffa"


def test_ids_beyond_the_model_are_an_error(folder: Path) -> None:
    path = written(folder / "model.gguf", byte_level())
    with pytest.raises(InputError, match="outside the model's vocabulary of 50 tokens"):
        load_tokenizer(str(path), 50).encode("the question")


def test_a_file_is_known_by_its_first_bytes_too(folder: Path) -> None:
    path = written(folder / "sha256-6f1b", byte_level())
    assert ids(load_tokenizer(str(path), BIG), "the") == ids(opened(folder, byte_level()), "the")


def ids_of_name(tokenizer: Tokenizer, name: str) -> int:
    return next(number for number in range(tokenizer.vocab_size) if tokenizer.token(number).bytes == name.encode())
