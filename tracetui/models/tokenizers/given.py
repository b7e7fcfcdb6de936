"""A tokenizer that somebody has already: one of transformers', or a function that says what an id stands for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracetui.errors import InputError
from tracetui.models.tokenizers.json_tokenizer import LibraryTokenizer
from tracetui.models.tokenizers.protocol import Tokenizer
from tracetui.recipe import parse_ids
from tracetui.recording.record import Token

_ANY = 2**31
"""More ids than any model has."""


def given_tokenizer(tokenizer: object, model_vocab: int | None) -> Tokenizer:
    """The tokenizer of what somebody gives: None, a function, or an object with `encode` and `decode`."""
    if tokenizer is None:
        return IdsOnly()
    name = f"{type(tokenizer).__name__}, as given"
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and hasattr(backend, "to_str"):
        import tokenizers

        # A copy: how prompts are encoded is set on it.
        library = tokenizers.Tokenizer.from_str(backend.to_str())
        return LibraryTokenizer(library, name, _ANY if model_vocab is None else model_vocab)
    if hasattr(tokenizer, "encode") and hasattr(tokenizer, "decode"):
        return CodedTokenizer(tokenizer, name)
    if callable(tokenizer):
        return NamedIds(tokenizer)
    raise InputError(f"tokenizer: must be one of transformers', or a function of an id, got {type(tokenizer).__name__}")


class IdsOnly:
    """No tokenizer: what is typed are ids."""

    vocab_size = _ANY
    special_names: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()
    is_llama3 = False

    @property
    def name(self) -> str:
        return "no tokenizer: token ids such as 1,2,3"

    def encode(self, text: str, *, specials: bool = True, around: bool = True) -> list[Token]:
        return [self.token(each) for each in parse_ids(text, "prompt: without a tokenizer")]

    def decode(self, ids: Iterable[int]) -> bytes:
        return b"".join(self.token(each).bytes for each in ids)

    def token(self, id: int) -> Token:  # noqa: A002
        return Token(id, b"")


class NamedIds(IdsOnly):
    """A function from ids to texts: tokens have their texts, what is typed are ids all the same."""

    def __init__(self, text_of: Any) -> None:
        self._text_of = text_of

    @property
    def name(self) -> str:
        return "texts as given; type token ids such as 1,2,3"

    def token(self, id: int) -> Token:  # noqa: A002
        try:
            return Token(id, str(self._text_of(id)).encode(errors="replace"))
        except Exception:
            # It is somebody's own, and may know no such id.
            return Token(id, b"")


class CodedTokenizer(IdsOnly):
    """An object with `encode` and `decode`; the bytes of a token are those of its text alone."""

    def __init__(self, given: Any, name: str) -> None:
        self._given = given
        self._name = name
        self._special = frozenset(getattr(given, "all_special_ids", ()))

    @property
    def name(self) -> str:
        return self._name

    def encode(self, text: str, *, specials: bool = True, around: bool = True) -> list[Token]:
        return [self.token(int(each)) for each in self._given.encode(text)]

    def token(self, id: int) -> Token:  # noqa: A002
        try:
            return Token(id, str(self._given.decode([id])).encode(errors="replace"), id in self._special)
        except Exception:
            return Token(id, b"")
