"""The configuration's report as lines that scroll, with those that were found marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tracetui.ui.widgets.list_keys import LINE_KEYS
from tracetui.views.config_lines import ConfigLine, LineKind

_NAMED = (LineKind.FIELD, LineKind.UNKNOWN)


class ReportLines(ScrollView, can_focus=True):
    """A line cursor, drawn only where it is seen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "report--alert",
        "report--heading",
        "report--name",
        "report--unknown",
        "report--quiet",
        "report--shapes",
        "report--text",
        "report--line",
        "report--found",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *LINE_KEYS,
        Binding("pageup", "page(-1)", "page up", show=False, id="page_up"),
        Binding("pagedown,space", "page(1)", "page down", show=False, id="page_down"),
        Binding("home", "move(-1000000)", "the first line", show=False, id="first"),
        Binding("end", "move(1000000)", "the last line", show=False, id="last"),
    ]

    def __init__(self) -> None:
        super().__init__(id="report")
        self._lines: Sequence[ConfigLine] = ()
        self._found: list[int] = []
        self._line = 0

    @property
    def room(self) -> int:
        """Cells for a line: the mark stands before it, a blank and the scrollbar after it."""
        return self.outer_size.width - 2 - self.styles.scrollbar_size_vertical

    def show(self, lines: Sequence[ConfigLine]) -> None:
        """Other lines, as of another width; the cursor stays at its field."""
        field = self._lines[self._line].field if self._lines else ""
        self._lines, self._found = lines, []
        self.virtual_size = Size(0, len(lines))
        self._go(next((at for at, line in enumerate(lines) if line.field == field), 0) if field else 0)

    def find(self, places: Sequence[int]) -> None:
        """The lines that `next_found` goes to, in order."""
        self._found = list(places)
        self.refresh()

    def next_found(self, by: int) -> None:
        """To the next line found, or the one before (-1), round the ends; with 0 to one at or after the cursor."""
        if not self._found:
            return
        after = [at for at in self._found if (at > self._line if by else at >= self._line)]
        before = [at for at in self._found if at < self._line]
        if by >= 0:
            self._go(after[0] if after else self._found[0])
        else:
            self._go(before[-1] if before else self._found[-1])

    @property
    def standing(self) -> str:
        """`2 of 5` at a line that was found, else how many there are."""
        if self._line in self._found:
            return f"{self._found.index(self._line) + 1} of {len(self._found)}"
        return f"{len(self._found)} found" if self._found else ""

    def action_move(self, by: int) -> None:
        self._go(self._line + by)

    def action_page(self, by: int) -> None:
        self._go(self._line + by * max(1, self.size.height - 2))

    def _go(self, line: int) -> None:
        self._line = max(0, min(len(self._lines) - 1, line))
        around = Region(0, self._line - 2, 1, min(8, max(1, self.size.height - 2)))
        self.scroll_to_region(around, animate=False, x_axis=False, force=True)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        index, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        plain = self.rich_style
        if index >= len(self._lines):
            return Strip.blank(width, plain)
        line = self._lines[index]
        base = plain + self._component("text")
        chosen = index == self._line and self.has_focus
        if chosen:
            base += self._component("line")
        mark = "▌" if index in self._found else " "
        # The line with the cursor has a ground of its own, on which only its own colour can be read.
        segments = [Segment(line.text, base)] if chosen else self._segments(line, base)
        cells = [Segment(mark, base + self._component("found")), *segments]
        return Strip(cells).adjust_cell_length(width, base)

    def _segments(self, line: ConfigLine, base: Style) -> list[Segment]:
        if line.kind not in _NAMED:
            style = "name" if line.kind is LineKind.TITLE else line.kind.value
            return [Segment(line.text, base + self._component(style))]
        name, equals, rest = line.text.partition(" = ")
        value, gap, origin = rest.rpartition("  ")
        value, origin = (value + gap, origin) if value.strip() else (rest, "")
        return [
            Segment(name, base + self._component("unknown" if line.kind is LineKind.UNKNOWN else "name")),
            Segment(f"{equals}{value}", base),
            Segment(origin, base + self._component("unknown" if line.kind is LineKind.UNKNOWN else "quiet")),
        ]

    def _component(self, name: str) -> Style:
        return self.get_component_rich_style(f"report--{name}", partial=True)
