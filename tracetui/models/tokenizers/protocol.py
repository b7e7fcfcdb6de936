"""What every tokenizer offers, and the two checks that all of them share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tracetui.errors import InputError
from tracetui.recording.record import Token


class Tokenizer(Protocol):
    """Text to tokens and back. Safe to use from any thread."""

    @property
    def name(self) -> str:
        """Which tokenizer this is, in words for the screen; holds file names, so it is foreign text."""
        ...

    @property
    def vocab_size(self) -> int:
        """One more than the largest id it knows."""
        ...

    @property
    def special_names(self) -> frozenset[str]:
        """What the special tokens are called in a text."""
        ...

    @property
    def is_llama3(self) -> bool:
        """Whether this is Meta's own form of Llama 3's, whose chat format is documented and in no file."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What has to be said of it beside a run."""
        ...

    def encode(self, text: str, *, specials: bool = True, around: bool = True) -> list[Token]:
        """The tokens of a prompt, after the begin-of-text token where the tokenizer puts one in front.

        Not so without `around`.

        The bytes of the tokens behind it, joined, are the text's own wherever the tokenizer is lossless. With
        `specials` the name of a special token in the text becomes that token, else it is text like any other.
        Raises InputError: a lone surrogate in the text, an id beyond the model's vocabulary.
        """
        ...

    def decode(self, ids: Iterable[int]) -> bytes:
        """The bytes of the tokens, joined; special ones by name, unknown ids as nothing."""
        ...

    def token(self, id: int) -> Token:  # noqa: A002
        """The token with this id; without bytes if the tokenizer does not know it."""
        ...


def check_ids(ids: Iterable[int], vocab_size: int) -> None:
    """Raise InputError if a token id has no row in the model's embedding; names the id and the vocabulary's size."""
    for place, token_id in enumerate(ids):
        if not 0 <= token_id < vocab_size:
            raise InputError(
                f"token {place}: id {token_id} is outside the model's vocabulary of {vocab_size} tokens "
                f"(0 to {vocab_size - 1}); is this the model's own tokenizer?"
            )


def text_bytes(text: str) -> bytes:
    """The text in UTF-8. Raises InputError where it holds a lone surrogate, which stands for no text."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        surrogate = ord(text[error.start])
        raise InputError(
            f"the prompt: character {error.start}: is a lone surrogate, which can't be encoded, got U+{surrogate:04X}"
        ) from error
