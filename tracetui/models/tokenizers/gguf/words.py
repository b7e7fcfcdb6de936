"""The two ways in which a GGUF file's vocabulary makes ids of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Protocol

import regex  # type: ignore[import-untyped]

from tracetui.errors import InputError
from tracetui.models.tokenizers.gguf.cuts import WordCuts
from tracetui.models.tokenizers.gguf.merging import merged
from tracetui.models.tokenizers.gguf.vocabulary import GgufVocabulary
from tracetui.models.tokenizers.vocabulary import byte_of_character

_MOST_WORDS = 2**16
"""Kept with their ids; a text has each of its words many times."""


class PlainText(Protocol):
    """Makes ids of text that holds no special tokens."""

    def encode(self, text: str, begins: bool) -> list[int]:
        """The ids of a text; `begins`: whether it stands at the beginning or behind a special token."""
        ...


class NoText:
    """A tokenizer of a kind that isn't known: its tokens can be shown, and no text becomes any."""

    def __init__(self, refusal: InputError) -> None:
        self._refusal = refusal

    def encode(self, text: str, begins: bool) -> list[int]:
        """Raises InputError, whatever the text."""
        raise self._refusal


class RankedMerges:
    """Byte-pair encoding as GPT-2 has it: words, and in each the merges in the order of a list."""

    def __init__(self, vocabulary: GgufVocabulary, merges: Sequence[str], cuts: WordCuts) -> None:
        """merges: two parts with a blank between, the most important first."""
        self._ids = vocabulary.ids
        self._merges = merges
        self._cuts = cuts
        self._word = lru_cache(_MOST_WORDS)(self._ids_of_word)

    def encode(self, text: str, begins: bool) -> list[int]:
        escaped = text.replace(" ", "▁") if self._cuts.by_characters else text
        words: Iterable[str] = (escaped,)
        for pattern in self._patterns:
            words = [piece for word in words for piece in _pieces(pattern, word)]
        return [token_id for word in words for token_id in self._word(word)]

    def _ids_of_word(self, word: str) -> tuple[int, ...]:
        spelled = word if self._cuts.by_characters else word.encode().decode("latin-1").translate(_SPELLED)
        whole = self._cuts.whole_words or (self._cuts.by_characters and not word.strip("\n"))
        if whole and spelled in self._ids:
            return (self._ids[spelled],)
        parts = merged(spelled, self._rank)
        return tuple(token_id for part in parts for token_id in self._ids_of_part(part))

    def _rank(self, left: str, right: str) -> int | None:
        return self._ranks.get(f"{left} {right}")

    def _ids_of_part(self, part: str) -> list[int]:
        """One id; of what is no token those of its bytes, as far as there are any."""
        if part in self._ids:
            return [self._ids[part]]
        spelled = [f"<0x{byte:02X}>" for byte in part.encode()] if self._cuts.by_characters else part
        return [self._ids[each] for each in spelled if each in self._ids]

    @cached_property
    def _ranks(self) -> Mapping[str, int]:
        """By the merge; of two alike the first counts."""
        merges = list(self._merges)
        return dict(zip(reversed(merges), range(len(merges) - 1, -1, -1), strict=True))

    @cached_property
    def _patterns(self) -> list[regex.Pattern[str]]:
        return [regex.compile(pattern) for pattern in self._cuts.patterns]


class ScoredPieces:
    """Byte-pair encoding as llama.cpp does it for SentencePiece's vocabularies: of two neighbours that make a token
    together the one with the best score first, over the whole text."""

    def __init__(self, vocabulary: GgufVocabulary, blank_first: bool) -> None:
        """blank_first: whether a text gets a blank in front."""
        self._ids = vocabulary.ids
        self._scores = vocabulary.scores
        self._blank_first = blank_first

    def encode(self, text: str, begins: bool) -> list[int]:
        symbols = (" " * (begins and self._blank_first) + text).replace(" ", "▁")
        return [token_id for part in merged(symbols, self._rank) for token_id in self._ids_of_part(part)]

    def _rank(self, left: str, right: str) -> float | None:
        token_id = self._ids.get(left + right)
        return None if token_id is None else -self._scores[token_id] if self._scores else 0.0

    def _ids_of_part(self, part: str) -> list[int]:
        return [self._ids[part]] if part in self._ids else [self._byte(byte, part) for byte in part.encode()]

    def _byte(self, byte: int, part: str) -> int:
        for spelled in (f"<0x{byte:02X}>", chr(byte) if byte < 0x80 else ""):
            if spelled in self._ids:
                return self._ids[spelled]
        raise InputError(f"the prompt: {part!r} is no token of the model, nor is its byte 0x{byte:02X}")


def _pieces(pattern: regex.Pattern[str], text: str) -> Iterator[str]:
    """The pattern's matches and what lies between them, in order."""
    end = 0
    for match in pattern.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        if match.end() > match.start():
            yield match[0]
        end = match.end()
    if end < len(text):
        yield text[end:]


_SPELLED = {byte: character for character, byte in byte_of_character().items()}
"""GPT-2's character for each byte, for `str.translate`."""
