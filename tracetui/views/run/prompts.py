"""A prompt before it runs: its text with every character visible, and its tokens, special ones in brackets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tracetui.recording.record import Token
from tracetui.text import token_text, visible

_TYPED = 5
_CHARACTERS, _TOKENS = 4000, 200
"""Of a chat, as much as is shown before it runs."""


class PromptLine(Protocol):
    """One prompt as the model gets it."""

    @property
    def text(self) -> str: ...

    @property
    def tokens(self) -> Sequence[Token]: ...

    @property
    def typed(self) -> Sequence[str]:
        """Names of special tokens in what the user typed."""
        ...


def preview_lines(rows: Sequence[PromptLine], chat: bool) -> Iterator[str]:
    """Chats as the model gets them, and a warning where special tokens were typed in any prompt."""
    for number, row in enumerate(rows):
        name = f"row {number} of 0–{len(rows) - 1}: " if len(rows) > 1 else ""
        if chat:
            yield f"chat: {name}{visible(row.text, _CHARACTERS)}"
            yield f"tokens: {name}{len(row.tokens)}: {tokens_line(row.tokens, _TOKENS)}"
        if row.typed:
            yield f"warning: {name}{typed_line(row.typed)}"


def tokens_line(tokens: Sequence[Token], most: int) -> str:
    """`[<|begin_of_text|> 128000] the 1820 ·answer 4320`, cut after `most` tokens."""
    texts = [f"[{_token(token)}]" if token.special else _token(token) for token in tokens[:most]]
    more = [f"… {len(tokens) - most:,} more"] if len(tokens) > most else []
    return " ".join([*texts, *more])


def typed_line(typed: Sequence[str]) -> str:
    """A warning where names of special tokens stand in what was typed; empty where none do."""
    if not typed:
        return ""
    names = ", ".join(visible(name, 40) for name in typed[:_TYPED])
    more = ", …" if len(typed) > _TYPED else ""
    return f"typed in the prompt and taken as special: {names}{more}; --no-special keeps such names text"


def _token(token: Token) -> str:
    return f"{token_text(token.bytes, 40)} {token.id}".lstrip()
