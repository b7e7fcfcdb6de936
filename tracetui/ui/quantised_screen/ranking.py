"""One table of the quantisation view: lines with numbers and bars, drawn only where they are seen."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tracetui.ui.theme.variables import inks
from tracetui.ui.widgets.list_keys import LINE_KEYS
from tracetui.views.cells import bar, fit, line
from tracetui.views.quantised.lines import column_widths
from tracetui.views.quantised.ranking import RankedRow, RankedTable

_LONGEST_NAME = 44
_LEAST_BAR = 8
_GAP = 2


class RankedLines(ScrollView, can_focus=True):
    """A line cursor below a head that stays."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *LINE_KEYS,
        Binding("pageup", "page(-1)", "page up", show=False, id="page_up"),
        Binding("pagedown,space", "page(1)", "page down", show=False, id="page_down"),
        Binding("home", "move(-1000000)", "the first line", show=False, id="first"),
        Binding("end", "move(1000000)", "the last line", show=False, id="last"),
    ]

    class RowChosen(Message):
        """Another line is looked at."""

        def __init__(self, row: RankedRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self) -> None:
        super().__init__(id="quantised-lines")
        self._table = RankedTable("", (), ())
        self._widths: tuple[int, ...] = ()
        self._line = 0

    def show(self, table: RankedTable) -> None:
        """Another table, from its first line."""
        self._table, self._widths = table, column_widths(table)
        self.virtual_size = Size(0, len(table.rows) + 1)
        self._go(0)

    def action_move(self, by: int) -> None:
        self._go(self._line + by)

    def action_page(self, by: int) -> None:
        self._go(self._line + by * max(1, self.size.height - 2))

    def _go(self, at: int) -> None:
        rows = self._table.rows
        self._line = max(0, min(len(rows) - 1, at))
        # The head takes the first line of what is seen.
        self.scroll_to_region(Region(0, self._line, 1, 2), animate=False, x_axis=False, force=True)
        self.refresh()
        if rows:
            self.post_message(self.RowChosen(rows[self._line]))

    def on_click(self, event: events.Click) -> None:
        at = event.y + self.scroll_offset.y - 1
        if event.y and at < len(self._table.rows):
            self._go(at)

    def on_resize(self) -> None:
        self._go(self._line)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        base, colours = self.rich_style, inks(self.app.theme_variables)
        if not y:
            head = " ".join((" " * (self._name_width(width) + 1), self._cells(self._table.heads)))
            return _strip([(head, colours.quiet)], width, base)
        at = y + self.scroll_offset.y - 1
        if at >= len(self._table.rows):
            return Strip.blank(width, base)
        row, here = self._table.rows[at], at == self._line
        text = " ".join((f" {fit(row.name, self._name_width(width))}", self._cells(row.cells)))
        room = width - cell_len(text) - 2
        drawn = bar(self._table.share(row), room)
        if here and self.has_focus:
            return _strip([(f"{text}  {drawn:<{max(room, 0)}}", colours.cursor)], width, base)
        return _strip([(text, colours.text), ("  ", colours.text), (drawn, colours.bar)], width, base)

    def _cells(self, cells: tuple[str, ...]) -> str:
        columns = (fit(cell, wide, right=True) for cell, wide in zip(cells, self._widths, strict=True))
        return "".join(f"{'':{_GAP}}{column}" for column in columns)

    def _name_width(self, width: int) -> int:
        """Cells of the names: as many as they need, as long as numbers and a bar have room."""
        longest = max((cell_len(row.name) for row in self._table.rows), default=1)
        rest = width - sum(self._widths) - _GAP * (len(self._widths) + 1) - _LEAST_BAR
        return max(8, min(longest, _LONGEST_NAME, rest))


def _strip(parts: list[tuple[str, object]], width: int, base: object) -> Strip:
    segments = list(Segment.apply_style(line(parts, width), base))  # type: ignore[arg-type]
    return Strip(segments).adjust_cell_length(width, base)  # type: ignore[arg-type]
