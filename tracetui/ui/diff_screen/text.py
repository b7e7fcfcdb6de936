"""Lines of text about two traces that scroll: titles at the left, statistics at the right where there is room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tracetui.views.cells import fit
from tracetui.views.diff.format import INDENT

_ALARMS = ("looks like", "suspect", "tokens", "models", "config", "layers", "shapes")
_BESIDE = 46
"""Cells of the statistics."""
_SIDE_BY_SIDE = 60 + _BESIDE
_NARROWEST = 40
_READABLE = 100
"""Cells of the longest line that an eye follows."""
Lay = Callable[[int], Sequence[str]]


class DiffText(ScrollView, can_focus=True):
    """What is told is laid out for the width that there is."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"diff--title", "diff--heading", "diff--alarm", "diff--text"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", "up", show=False, id="move_up"),
        Binding("down,j", "scroll(1)", "down", show=False, id="move_down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="page_up"),
        Binding("pagedown,space", "page(1)", "page down", show=False, id="page_down"),
    ]

    def __init__(self) -> None:
        super().__init__(id="finding", classes="diff-pane")
        self._lay: Lay = lambda width: ()
        self._beside: Sequence[str] = ()
        self._lines: list[tuple[str, str]] = []

    def show(self, lay: Lay, beside: Sequence[str] = ()) -> None:
        """Other text, from its first line; `beside` stands at the right, or below where it is narrow."""
        self._lay, self._beside = lay, beside
        self._make()
        self.scroll_to(y=0, animate=False)

    @property
    def idle(self) -> bool:
        """Whether nothing has been shown yet."""
        return not self._lines

    @property
    def text(self) -> str:
        """All of it, as it would be copied."""
        return "\n".join(line for line in self._lay(80))

    def on_resize(self, event: events.Resize) -> None:
        self._make()

    def _make(self) -> None:
        room = self.outer_size.width - 2 - self.styles.scrollbar_size_vertical
        if room <= 0:
            return
        # Narrower, a line would be all numbers: it is cut instead.
        room = max(room, _NARROWEST)
        if room >= _SIDE_BY_SIDE and self._beside:
            width = min(room - _BESIDE - 1, _READABLE)
            left = self._lay(width - 2)
            self._lines = [(fit(a, width), b) for a, b in zip_longest(left, self._beside, fillvalue="")]
        else:
            gap = [("", "")] if self._beside else []
            self._lines = [
                *((line, "") for line in self._lay(min(room, _READABLE))),
                *gap,
                *(("", line) for line in self._beside),
            ]
        self.virtual_size = Size(0, len(self._lines))
        self.refresh()

    def action_scroll(self, by: int) -> None:
        self.scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        self.scroll_relative(y=by * max(1, self.size.height - 2), animate=False)

    def render_line(self, y: int) -> Strip:
        index, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        plain = self.rich_style
        if index >= len(self._lines):
            return Strip.blank(width, plain)
        text, beside = self._lines[index]
        cells = [Segment(" ", plain), *self._cells(text, plain, heading=index == 0)]
        if beside:
            title, numbers = beside[:INDENT], beside[INDENT:]
            heads = beside.startswith("statistics")
            cells += [Segment(title, plain + self._ink("title"))]
            cells += [Segment(numbers, plain + self._ink("heading" if heads else "text"))]
        return Strip(cells).adjust_cell_length(width, plain)

    def _cells(self, text: str, plain: Style, heading: bool) -> list[Segment]:
        if heading:
            return [Segment(text, plain + self._ink("heading"))]
        title, rest = text[: INDENT + 1], text[INDENT + 1 :]
        if text.startswith((" ", "A  ", "B  ")) or not _is_title(title):
            return [Segment(text, plain + self._ink("text"))]
        alarm = title.strip() in _ALARMS
        return [
            Segment(title, plain + self._ink("alarm" if alarm else "title")),
            Segment(rest, plain + self._ink("text")),
        ]

    def _ink(self, name: str) -> Style:
        return self.get_component_rich_style(f"diff--{name}", partial=True)


def _is_title(start: str) -> bool:
    """Whether a line's start is a title padded to its column, and not the beginning of a sentence."""
    return start.endswith(" ") and start.rstrip() == start.rstrip().lower() and "  " not in start.rstrip()
