"""A line to type in that shows foreign text without letting the terminal act on it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual.strip import Strip
from textual.widgets import Input

from tracetui.text import visible

_STANDS_FOR_HIDDEN = "␦"
_MARKED = 8
"""Cells of a line that has room for marks at its ends."""


class LineInput(Input):
    """Every character has one symbol, so that the cursor stands where it should; the value is untouched."""

    @property
    def _value(self) -> Text:
        return Text("".join(map(_shown, self.value)), no_wrap=True, overflow="ignore", end="")

    def _position_to_cell(self, position: int) -> int:
        return sum(cell_len(_shown(char)) for char in self.value[:position])

    def _cell_offset_to_index(self, offset: int) -> int:
        place = offset + self.scroll_offset.x
        ends = list(accumulate(cell_len(_shown(char)) for char in self.value))
        return bisect_right(ends, place)

    def render_line(self, y: int) -> Strip:
        """The line, with a mark at an end behind which there is more, but never over the cursor."""
        strip, left = super().render_line(y), self.scroll_offset.x
        width = self.scrollable_content_region.width
        if y or width < _MARKED or not self.value:
            return strip
        here = self._position_to_cell(self.cursor_position) - left if self.has_focus else -1
        if left > 0 and here != 0:
            strip = Strip.join([_mark("‹", strip.crop(0, 1)), strip.crop(1)])
        if self.content_width - 1 > left + width and here != width - 1:
            strip = Strip.join([strip.crop(0, width - 1), _mark("…", strip.crop(width - 1, width))])
        return strip


def _mark(mark: str, place: Strip) -> Strip:
    """The mark in the style of what it stands over."""
    return Strip([Segment(mark, next((segment.style for segment in place), None))])


def _shown(char: str) -> str:
    symbol = visible(char)
    return symbol if len(symbol) == 1 else _STANDS_FOR_HIDDEN
