"""For models with fewer token ids than there are bytes: their prompts are ids, and no text stands for one."""

from __future__ import annotations

from collections.abc import Iterable

from tracetui.errors import InputError
from tracetui.recording.record import Token


class IdsAlone:
    """A tokenizer that knows ids and no text."""

    is_llama3 = False
    special_names: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()

    def __init__(self, vocab_size: int, fewest: int) -> None:
        """`fewest` ids would have been enough for text."""
        self.vocab_size = vocab_size
        self._fewest = fewest
        self.name = f"none: {vocab_size} token ids are too few for text, give ids"

    def encode(self, text: str, *, specials: bool = True, around: bool = True) -> list[Token]:
        """Raises InputError, whatever the text."""
        raise InputError(
            f"tokenizer: builtin: needs a model of at least {self._fewest} token ids (all bytes and the special "
            f"tokens), got {self.vocab_size}; give token ids instead of text (--tokens, --random-tokens)"
        )

    def decode(self, ids: Iterable[int]) -> bytes:
        """No bytes: ids stand for nothing."""
        return b""

    def token(self, id: int) -> Token:  # noqa: A002
        """The token with this id, without bytes."""
        return Token(id, b"")
