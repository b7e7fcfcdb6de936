"""A line to type in that shows foreign text without letting the terminal act on it."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Input

from tracetui.text import visible

_STANDS_FOR_HIDDEN = "␦"


class LineInput(Input):
    """Every character has one symbol, so that the cursor stands where it should; the value is untouched."""

    @property
    def _value(self) -> Text:
        return Text("".join(map(_shown, self.value)), no_wrap=True, overflow="ignore", end="")


def _shown(char: str) -> str:
    symbol = visible(char)
    return symbol if len(symbol) == 1 else _STANDS_FOR_HIDDEN
