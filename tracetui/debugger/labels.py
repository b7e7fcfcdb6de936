"""What stands beside a position of a prompt: its token, or that there is none."""

from __future__ import annotations

from collections.abc import Sequence

from tracetui.recording.record import Token
from tracetui.views.tokens import token_label

_WIDEST = 40
PADDING = "∅"
"""Beside a position that a shorter row of a batch doesn't have."""


def label_of(token: Token) -> str:
    """A token's text for one line, never empty: without bytes `#` and its id."""
    text = token_label(token)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def position_labels(tokens: Sequence[Token], positions: range) -> tuple[str, ...]:
    """One label for each of these positions, which a row that is shorter than others is padded to."""
    mine = [label_of(token) for token in tokens[positions.start : positions.stop]]
    return (*mine, *[PADDING] * (len(positions) - len(mine)))


def row_name(row: int, rows: int) -> str:
    """Which prompt of a batch this is: `row 1 of 0–3`; empty where there is only one."""
    return f"row {row} of 0–{rows - 1}" if rows > 1 else ""
