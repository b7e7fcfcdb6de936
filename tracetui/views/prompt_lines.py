"""A prompt before it runs: its text with every character visible, and its tokens, special ones in brackets."""

from __future__ import annotations

from collections.abc import Sequence

from tracetui.text import token_text, visible
from tracetui.trace.record import Token

_TYPED = 5


def tokens_line(tokens: Sequence[Token], most: int) -> str:
    """`[<|begin_of_text|> 128000] the 1820 ·answer 4320`, cut after `most` tokens."""
    shown = [f"[{_token(token)}]" if token.special else _token(token) for token in tokens[:most]]
    more = [f"… {len(tokens) - most:,} more"] if len(tokens) > most else []
    return " ".join([*shown, *more])


def typed_line(typed: Sequence[str]) -> str:
    """A warning where names of special tokens stand in what was typed; empty where none do."""
    if not typed:
        return ""
    names = ", ".join(visible(name, 40) for name in typed[:_TYPED])
    more = ", …" if len(typed) > _TYPED else ""
    return f"typed in the prompt and taken as special: {names}{more}; --no-special keeps such names text"


def _token(token: Token) -> str:
    return f"{token_text(token.bytes, 40)} {token.id}".lstrip()
