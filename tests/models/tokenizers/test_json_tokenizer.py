"""Kinds of tokenizer.json beyond the two usual ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from tests.models.tokenizers.samples import BIG
from tracetui.models.tokenizers import Tokenizer, load_tokenizer
from tracetui.models.tokenizers.vocabulary import Spelling, byte_of_character, token_bytes


def saved(library: tokenizers.Tokenizer, folder: Path) -> Tokenizer:
    library.save(str(folder / "tokenizer.json"))
    return load_tokenizer(str(folder), BIG)


def test_unigram_with_metaspace(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(models.Unigram([("<unk>", 0.0), ("▁sea", -1.0), ("s", -2.0), ("▁", -3.0)], 0, False))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    tokens = saved(library, tmp_path).encode("sea seas")
    assert [token.bytes for token in tokens] == [b"sea", b" sea", b"s"]


def test_whole_words_keep_their_spelling_where_blanks_are_lost(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "sea": 2}, unk_token="<unk>"))
    library.normalizer = normalizers.Lowercase()
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = saved(library, tmp_path).encode("The sea wall")
    assert [(token.id, token.bytes) for token in tokens] == [(1, b"the"), (2, b"sea"), (0, b"<unk>")]


def test_blank_that_a_byte_level_tokenizer_puts_in_front_is_not_in_the_text(tmp_path: Path) -> None:
    vocabulary = byte_of_character() | {"Ġa": 256}
    library = tokenizers.Tokenizer(models.BPE(vocabulary, [("Ġ", "a")]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer = saved(library, tmp_path)
    assert [token.bytes for token in tokenizer.encode("a a")] == [b"a", b" a"]
    assert tokenizer.token(256).bytes == b" a"


def test_added_token_that_is_not_special_is_text(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(models.BPE(byte_of_character(), []))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.add_tokens(["<think>", "é火"])
    tokens = saved(library, tmp_path).encode("<think>é火")
    assert [(token.bytes, token.special) for token in tokens] == [(b"<think>", False), ("é火".encode(), False)]


@pytest.mark.parametrize(
    ("spelled", "spelling", "expected"),
    [
        ("Ġthe", Spelling.BYTE_LEVEL, b" the"),
        ("Ċ", Spelling.BYTE_LEVEL, b"\n"),
        ("Ã©", Spelling.BYTE_LEVEL, "é".encode()),
        ("火", Spelling.BYTE_LEVEL, "火".encode()),
        ("▁the", Spelling.SENTENCEPIECE, b" the"),
        ("<0xE2>", Spelling.SENTENCEPIECE, b"\xe2"),
        ("<0xE2", Spelling.SENTENCEPIECE, b"<0xE2"),
        ("<0xE2>", Spelling.PLAIN, b"<0xE2>"),
    ],
)
def test_spellings(spelled: str, spelling: Spelling, expected: bytes) -> None:
    assert token_bytes(spelled, spelling) == expected


def test_byte_level_alphabet_is_one_to_one_and_that_of_the_library() -> None:
    assert sorted(byte_of_character().values()) == list(range(256))
    assert set(byte_of_character()) == set(pre_tokenizers.ByteLevel.alphabet())
