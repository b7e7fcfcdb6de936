"""A line to type in that shows foreign text without letting the terminal act on it."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widgets import Input
from textual.widgets.input import Selection

from tracetui.text import visible
from tracetui.ui.held_paint import hold_until_heard

_STANDS_FOR_HIDDEN = "␦"
_MARKED = 8
"""Cells of a line that has room for marks at its ends."""


class _Line:
    """A value as it is shown: as many characters, and where each of them ends. Made once for each value."""

    def __init__(self, value: str) -> None:
        self.value = value
        is_plain = value.isascii() and value.isprintable()
        self.text = value if is_plain else "".join(map(_shown, value))
        self._ends = None if is_plain else array("q", accumulate(map(_cells, self.text)))
        """None where every character takes one cell."""

    def cell(self, position: int) -> int:
        """Where a character begins."""
        position = min(position, len(self.text))
        return position if self._ends is None or not position else self._ends[position - 1]

    def index(self, cell: int) -> int:
        """The character that a cell belongs to; behind the last one their number."""
        return min(cell, len(self.text)) if self._ends is None else bisect_right(self._ends, cell)


class LineInput(Input):
    """Every character has one symbol, so that the cursor stands where it should; the value is untouched.

    What a paint costs is what is on view, however long the line is.
    """

    virtual_size: Reactive[Size] = Reactive(Size(0, 0))
    """As Textual's, but that another text needs no other place: its line is as wide as its room."""
    _known = _Line("")

    def watch_value(self) -> None:
        """What is said of the line, and offered, is painted with it."""
        if self.is_mounted:
            hold_until_heard(self)

    def _on_focus(self, event: events.Focus) -> None:
        """What is selected then is shown from its beginning."""
        event.prevent_default()
        super()._on_focus(event)
        if self.select_on_focus and self.selection == Selection(0, len(self.value)):
            self.selection = Selection(len(self.value), 0)

    async def _on_key(self, event: events.Key) -> None:
        """Do at once what a key of the line's own does.

        Textual does it when the key has come back to the application: after text that was typed behind it.
        """
        if self.app.focused is not self:
            # Typed behind a key that has left the line by now.
            event.stop()
            event.prevent_default()
            self.app.post_message(events.Key(event.key, event.character))
            return
        if event.is_printable:
            return
        for node, bindings in self.screen._binding_chain:
            if node is not self and event.key != "escape":
                continue
            for binding in bindings.key_to_bindings.get(event.key, ()):
                if not binding.priority and await self.app.run_action(binding.action, node):
                    event.stop()
                    return

    @property
    def _line(self) -> _Line:
        if self._known.value is not self.value:
            self._known = _Line(self.value)
        return self._known

    @property
    def _value(self) -> Text:
        return Text(self._line.text, no_wrap=True, overflow="ignore", end="")

    @property
    def content_width(self) -> int:
        if self.placeholder and not self.value:
            return cell_len(self.placeholder)
        # The cursor may stand behind the last character.
        return self._line.cell(len(self.value)) + 1

    def _position_to_cell(self, position: int) -> int:
        return self._line.cell(position)

    def _cell_offset_to_index(self, offset: int) -> int:
        return self._line.index(offset + self.scroll_offset.x)

    def render_line(self, y: int) -> Strip:
        """The line, with a mark at an end behind which there is more, but never over the cursor."""
        if y or not self.value:
            return super().render_line(y)
        left, width = self.scroll_offset.x, self.scrollable_content_region.width
        completed = self.has_focus and len(self._suggestion) > len(self.value)
        strip = super().render_line(y) if completed else self._window(left, width + 1)
        if width < _MARKED:
            return strip
        here = self._position_to_cell(self.cursor_position) - left if self.has_focus else -1
        if left > 0 and here != 0:
            strip = Strip.join([_mark("‹", strip.crop(0, 1)), strip.crop(1)])
        if self.content_width - 1 > left + width and here != width - 1:
            strip = Strip.join([strip.crop(0, width - 1), _mark("…", strip.crop(width - 1, width))])
        return strip

    def _window(self, left: int, width: int) -> Strip:
        """So many cells of the line from one on, with what is selected and the cursor."""
        line = self._line
        first = line.index(left)
        text = Text(line.text[first : line.index(left + width) + 1], no_wrap=True, overflow="ignore", end="")
        if self.has_focus:
            begin, end = sorted(self.selection)
            if begin != end:
                style = self.get_component_rich_style("input--selection")
                text.stylize_before(style, max(0, begin - first), max(0, end - first))
            cursor = self.cursor_position - first
            if self._cursor_visible and cursor >= 0:
                if self.cursor_at_end:
                    text.pad_right(1)
                text.stylize(self.get_component_rich_style("input--cursor"), cursor, cursor + 1)
        console = self.app.console
        options = self.app.console_options.update_width(max(1, text.cell_len))
        shift = left - line.cell(first)
        strip = Strip(console.render(text, options)).crop(shift, shift + width)
        return strip.extend_cell_length(width).apply_style(self.rich_style)


def _mark(mark: str, place: Strip) -> Strip:
    """The mark in the style of what it stands over."""
    return Strip([Segment(mark, next((segment.style for segment in place), None))])


@lru_cache(maxsize=2**14)
def _shown(char: str) -> str:
    symbol = visible(char)
    return symbol if len(symbol) == 1 else _STANDS_FOR_HIDDEN


@lru_cache(maxsize=2**14)
def _cells(symbol: str) -> int:
    return cell_len(symbol)
