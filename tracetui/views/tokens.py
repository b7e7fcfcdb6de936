"""How a token and its place are said, everywhere: `token 7 “ait”`, counted from 0 in its row of prompt and answer."""

from __future__ import annotations

from collections.abc import Sequence

from tracetui.recording.record import Token
from tracetui.text import token_text


def token_label(token: Token, limit: int = 400) -> str:
    """A token's text in one line, never empty: where the tokenizer has none, `#` and its id."""
    return token_text(token.bytes, limit) or f"#{token.id}"


def named_token(position: int, token: Token | None, limit: int = 40) -> str:
    """`token 7 “ait”`; the number alone where nobody knows which token it is."""
    return f"token {position}" + ("" if token is None else f" “{token_label(token, limit)}”")


def token_in(row: Sequence[Token], position: int) -> str:
    """The same of a row's token; a position behind its end has none."""
    return named_token(position, row[position] if 0 <= position < len(row) else None)
