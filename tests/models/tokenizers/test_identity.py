"""What holds for every tokenizer: bytes in are bytes out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.tokenizers import samples
from tracetui.errors import InputError
from tracetui.models.tokenizers import Tokenizer, check_ids, load_tokenizer

KINDS = ["builtin", "cut builtin", "Llama 3", "byte-level json", "sentencepiece json"]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    return samples.every_kind(tmp_path_factory.mktemp("tokenizers"))


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tokenizers: dict[str, Tokenizer]) -> Tokenizer:
    return tokenizers[str(request.param)]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100)
@given(text=samples.TEXTS, specials=st.booleans())
def test_joined_bytes_are_the_text(tokenizers: dict[str, Tokenizer], kind: str, text: str, specials: bool) -> None:
    if kind == "sentencepiece json":
        text = text.replace("▁", "_")  # its own sign for a blank, so the one character that it loses
    tokens = tokenizers[kind].encode(text, specials=specials)
    assert samples.body(tokens) == text.encode()
    if not specials:
        assert not any(token.special for token in tokens[1:])


@settings(max_examples=60)
@given(text=samples.TEXTS)
def test_ordinary_tokens_carry_all_the_text(tokenizers: dict[str, Tokenizer], text: str) -> None:
    for kind in KINDS[:-1]:
        tokens = tokenizers[kind].encode(text, specials=False)
        assert b"".join(token.bytes for token in tokens if not token.special) == text.encode()


def test_prompt_begins_with_one_special_token(tokenizer: Tokenizer) -> None:
    for text in ("", "the", " the"):
        tokens = tokenizer.encode(text)
        assert [token.special for token in tokens] == [True] + [False] * (len(tokens) - 1)


def test_token_and_decode_agree_with_encode(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(" the 火, the 👍")
    assert [tokenizer.token(token.id) for token in tokens[2:]] == tokens[2:]
    assert tokenizer.decode(token.id for token in tokens[2:]) == b"".join(token.bytes for token in tokens[2:])


def test_every_id_is_below_the_vocabulary_size(tokenizer: Tokenizer) -> None:
    assert tokenizer.token(tokenizer.vocab_size - 1).bytes
    for unknown in (tokenizer.vocab_size, 10**9, -1):
        assert tokenizer.token(unknown).bytes == b""
        assert tokenizer.token(unknown).id == unknown


def test_special_token_in_the_text_is_one_by_choice(tokenizer: Tokenizer) -> None:
    text = "a<|end_of_text|>b"
    chosen = [token for token in tokenizer.encode(text)[1:] if token.special]
    assert [token.bytes for token in chosen] == [b"<|end_of_text|>"]
    assert len(tokenizer.encode(text, specials=False)) > len(tokenizer.encode(text))


@pytest.mark.parametrize("char", [" ", "a", "\n", "火"])
def test_long_runs(tokenizer: Tokenizer, char: str) -> None:
    text = f"start {char * 100_000} end"
    assert samples.body(tokenizer.encode(text)) == text.encode()


def test_a_million_blanks_do_not_panic(tokenizers: dict[str, Tokenizer]) -> None:
    text = " " * 1_000_000
    assert samples.body(tokenizers["builtin"].encode(text)) == text.encode()


def test_special_token_far_inside_a_long_run_is_found(tokenizers: dict[str, Tokenizer]) -> None:
    text = "x" * 24_995 + "<|end_of_text|>" + "x" * 24_995
    specials = [token for token in tokenizers["builtin"].encode(text)[1:] if token.special]
    assert len(specials) == 1


def test_lone_surrogate_is_refused_with_its_place(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=re.escape("character 2: is a lone surrogate") + r".*U\+D83D"):
        tokenizer.encode("ab\ud83d")


def test_prompt_with_an_id_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    ranks = samples.llama3_file(tmp_path / "tokenizer.model")
    for file in (ranks, samples.byte_level_json(tmp_path / "b.json"), samples.sentencepiece_json(tmp_path / "s.json")):
        with pytest.raises(InputError, match=r"id \d+ is outside the model's vocabulary of 258 tokens"):
            load_tokenizer(str(file), 258).encode("the")


def test_ids_beyond_the_vocabulary_name_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"token 1: id 300 is outside the model's vocabulary of 300 tokens"):
        check_ids([299, 300], 300)
    with pytest.raises(InputError, match=r"token 0: id -1 .* 300"):
        check_ids([-1], 300)
    check_ids(range(300), 300)
