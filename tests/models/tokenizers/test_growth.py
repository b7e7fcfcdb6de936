"""A tokenizer.json that makes much of little is refused before it makes anything."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from tests.models.tokenizers.samples import BIG, byte_level_json, sentencepiece_json
from tracetui.errors import InputError
from tracetui.models.tokenizers import load_tokenizer
from tracetui.models.tokenizers.growth import added_by, growth_of


def doubling(times: int) -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.Replace("a", "aa")] * times)


GREEDY: dict[str, tuple[str, object]] = {
    "doubling": ("normalizer", doubling(30)),
    "nested": ("normalizer", normalizers.Sequence([doubling(10), doubling(10)])),
    "one long text": ("normalizer", normalizers.Replace(" ", "x" * 10_000)),
    "an expression's": ("normalizer", normalizers.Replace(tokenizers.Regex("."), "x" * 10_000)),
    "prepended": ("normalizer", normalizers.Prepend("x" * 10_000)),
    "in front of each word": ("pre_tokenizer", pre_tokenizers.Sequence([pre_tokenizers.ByteLevel()] * 20)),
    "the text many times": (
        "post_processor",
        processors.TemplateProcessing(single=["$A"] * 20_000, pair="$A $B", special_tokens=[]),
    ),
    "tokens around it": (
        "post_processor",
        processors.TemplateProcessing(single=["a"] * 20_000 + ["$A"], pair="$A $B", special_tokens=[("a", 0)]),
    ),
}


@pytest.mark.parametrize("kind", GREEDY)
def test_what_makes_much_of_little_is_refused_by_its_name(kind: str, tmp_path: Path) -> None:
    name, part = GREEDY[kind]
    library = tokenizers.Tokenizer(models.BPE({"a": 0}, []))
    setattr(library, name, part)
    library.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match=rf"tokenizer.json: .*{name}.*more than"):
        load_tokenizer(str(tmp_path), BIG)


def test_a_table_s_longest_text_counts() -> None:
    charsmap = base64.b64encode(struct.pack("<I", 4) + b"trie" + b"ab\0abcdefg\0").decode()
    assert growth_of(f'{{"type": "Precompiled", "precompiled_charsmap": "{charsmap}"}}'.encode()) == 7


def test_of_what_is_published_little_grows() -> None:
    albert = [
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
        normalizers.Lowercase(), normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
    ]  # fmt: skip
    assert growth_of(normalizers.Sequence(albert).__getstate__()) == 11 * 2 * 2
    llama = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    assert growth_of(llama.__getstate__()) == 4 * 3
    template = processors.TemplateProcessing(single="<s> $A", pair="$A $B", special_tokens=[("<s>", 0)])
    assert (growth_of(template.__getstate__()), added_by(template.__getstate__())) == (1, 1)


@pytest.mark.parametrize("make", [byte_level_json, sentencepiece_json])
def test_published_kinds_take_a_megabyte(make: object, tmp_path: Path) -> None:
    assert callable(make)
    tokenizer = load_tokenizer(str(make(tmp_path / "tokenizer.json")), BIG)
    assert len(tokenizer.encode("the " * 2**10)) > 2**10


def test_a_prompt_is_too_long_for_one_that_could_fill_the_memory(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(models.BPE({"a": 0}, []))
    library.normalizer = doubling(12)
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path), BIG)
    assert len(tokenizer.encode("a")) == 2**12
    with pytest.raises(InputError, match=r"the prompt: .* could make it 4,096 times as long"):
        tokenizer.encode("b" * 2**17)
