"""The vocabulary of a GGUF file, from its metadata: what each id is spelled like and what kind of token it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tracetui.formats.gguf import Metadata
from tracetui.recipe.gguf.end_tokens import END_NAMES, FILL_NAMES, is_text
from tracetui.text import visible

PREFIX = "tokenizer.ggml."


class TokenKind(IntEnum):
    """What a token is for, as the file numbers it."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    """Ends a text, begins a turn of a chat: no text becomes one unless whoever typed it may name such tokens."""
    USER_DEFINED = 4
    """Added to a vocabulary that was learnt: wherever its text stands it is cut out before anything else."""
    UNUSED = 5
    BYTE = 6


_FILL_MARKS = frozenset(
    (
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
    )
)  # fmt: skip
_CONTROL_NAMES = END_NAMES | FILL_NAMES | _FILL_MARKS
"""What llama.cpp takes for a control token by its text, whatever kind the file says: converters forget it."""


@dataclass(frozen=True, eq=False, slots=True)
class GgufVocabulary:
    """The tokens of a file."""

    tokens: Sequence[str]
    """As the file spells them, by id."""
    ids: Mapping[str, int]
    kinds: Sequence[int]
    scores: Sequence[float]
    """Of equal length, or empty where the file has none."""

    def special(self, id: int) -> bool:  # noqa: A002
        """Whether a token is none that text becomes."""
        return self.kinds[id] in (TokenKind.CONTROL, TokenKind.UNKNOWN)


def read_vocabulary(metadata: Metadata) -> GgufVocabulary:
    """Raises InputError: no tokens, two alike, kinds or scores of another number, scores that are no numbers."""
    key = f"{PREFIX}tokens"
    texts = metadata.texts(key)
    if not texts:
        metadata.fail(key, "is missing or empty, and a tokenizer needs its tokens")
    tokens = [text or f"[EMPTY_{place}]" for place, text in enumerate(texts)]
    ids = {text: place for place, text in enumerate(tokens)}
    if len(ids) < len(tokens):
        place = next(place for place, text in enumerate(tokens) if ids[text] != place)
        metadata.fail(key, f"{visible(tokens[place], 80)!r} is token {place} and token {ids[tokens[place]]}")
    kinds = _numbers(metadata, f"{PREFIX}token_type", len(tokens))
    scores = _numbers(metadata, f"{PREFIX}scores", len(tokens))
    if scores and not np.isfinite(scores).all():
        metadata.fail(f"{PREFIX}scores", "must be finite numbers")
    return GgufVocabulary(tokens, ids, _kinds(kinds, ids, len(tokens)), scores)


def _kinds(numbers: list[float], ids: Mapping[str, int], count: int) -> bytes:
    kinds = bytearray(
        int(number) if number in _KNOWN else TokenKind.NORMAL for number in numbers or [TokenKind.NORMAL] * count
    )
    for name in _CONTROL_NAMES & ids.keys():
        if name != "</s>" or not is_text(name, ids):
            kinds[ids[name]] = TokenKind.CONTROL
    return bytes(kinds)


_KNOWN = frozenset(TokenKind)


def _numbers(metadata: Metadata, key: str, count: int) -> list[float]:
    """One for each token; empty where the file has none."""
    numbers = metadata.numbers(key)
    if numbers is None:
        return []
    if len(numbers) < count:
        metadata.fail(key, f"must have one number for each of the {count:,} tokens, has {len(numbers):,}")
    values: list[float] = numbers[:count].tolist()
    return values


def special_id(metadata: Metadata, name: str, count: int, usual: int | None) -> int | None:
    """The id that the file gives a special token (`bos`), or the usual one, if there is such a token."""
    number = metadata.integer(f"{PREFIX}{name}_token_id")
    if number is not None and 0 <= number < count:
        return number
    return usual if usual is not None and usual < count else None
