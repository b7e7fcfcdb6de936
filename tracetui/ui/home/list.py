"""The sections of the home screen under one cursor."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tracetui.debugger.home.rows import HomeRow, HomeSection
from tracetui.startup_line import FRAME_SECONDS, FRAMES
from tracetui.text import visible
from tracetui.ui.widgets.list_keys import FAR, LINE_KEYS

_NAME = 30
"""Most cells of a row's name where there is room for what it is."""
_ROOMY = 90
Line = tuple[HomeSection, HomeRow | None] | None
"""A section's title, one of its rows, or a blank."""


class HomeList(Widget, can_focus=True):
    """Enter or a click chooses a row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *LINE_KEYS,
        Binding("pageup", "move(-8)", "page up", show=False, id="page_up"),
        Binding("pagedown", "move(8)", "page down", show=False, id="page_down"),
        Binding("home", f"move({-FAR})", "the first", show=False, id="first"),
        Binding("end", f"move({FAR})", "the last", show=False, id="last"),
        Binding("tab", "section(1)", "the next section", show=False, id="home_next_section"),
        Binding("shift+tab", "section(-1)", "the section before", show=False, id="home_previous_section"),
        Binding("enter", "choose", "open", show=False, id="home_choose"),
    ]

    class Chosen(Message):
        """A row is to be opened."""

        def __init__(self, row: HomeRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self) -> None:
        super().__init__(id="home-list")
        self._lines: list[Line] = []
        self._place = 0
        """Of the row under the cursor, among the rows."""
        self._moved = False
        self._top = 0

    @property
    def rows(self) -> list[HomeRow]:
        """All of them, in order."""
        return [line[1] for line in self._lines if line and line[1]]

    @property
    def row(self) -> HomeRow | None:
        """The one under the cursor."""
        rows = self.rows
        return rows[min(self._place, len(rows) - 1)] if rows else None

    def show(self, sections: Sequence[HomeSection]) -> None:
        """Other rows; a cursor that was moved stays at what it was on."""
        before = self.row if self._moved else None
        self._lines = list(_lines(sections))
        commands = [row.command for row in self.rows]
        self._place = commands.index(before.command) if before and before.command in commands else 0
        # A sign moves as long as a section is being read.
        self.auto_refresh = FRAME_SECONDS if any(section.reading for section in sections) else None
        self.refresh()

    def action_move(self, by: int) -> None:
        self._go(self._place + by)

    def action_section(self, by: int) -> None:
        """To the first row of another section."""
        starts = [place for place, (_, first) in enumerate(self._in_sections()) if first]
        beyond = [place for place in starts if (place - self._place) * by > 0]
        if beyond:
            self._go(beyond[0] if by > 0 else beyond[-1])

    def action_choose(self) -> None:
        if self.row is not None:
            self.post_message(self.Chosen(self.row))

    def _in_sections(self) -> Iterator[tuple[HomeRow, bool]]:
        """Every row, and whether it is its section's first."""
        first = False
        for line in self._lines:
            if line is not None and line[1] is not None:
                yield line[1], first
            first = line is not None and line[1] is None

    def _go(self, place: int) -> None:
        self._moved = True
        self._place = max(0, min(len(self.rows) - 1, place))
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        line = self._top + event.y
        if line < len(self._lines) and (clicked := self._lines[line]) and clicked[1] is not None:
            self._go(self.rows.index(clicked[1]))
            self.action_choose()

    def on_mouse_scroll_down(self) -> None:
        self.action_move(1)

    def on_mouse_scroll_up(self) -> None:
        self.action_move(-1)

    def render(self) -> Content:
        height, width = max(1, self.size.height), self.size.width
        at = next((index for index, line in enumerate(self._lines) if line and line[1] and line[1] is self.row), 0)
        # The title above the first row is seen with it.
        top = max(0, at - 1) if at < self._top + 1 else max(self._top, at - height + 1)
        self._top = max(0, min(top, len(self._lines) - height))
        names = max((len(visible(row.name, 200)) for row in self.rows), default=0)
        named = min(names, _NAME if width >= _ROOMY else _NAME - 8)
        shown = [self._line(line, named, width) for line in self._lines[self._top : self._top + height]]
        beyond = sum(1 for line in self._lines[self._top + height - 1 :] if line and line[1])
        if self._top + height < len(self._lines) and at < self._top + height - 1:
            shown[-1] = Content.styled(f"  ⋯ {beyond} more", "$quiet")
        return Content("\n").join(shown)

    def _line(self, line: Line, named: int, width: int) -> Content:
        if line is None:
            return Content("")
        section, row = line
        if row is None:
            sign = f" {FRAMES[int(time.monotonic() / FRAME_SECONDS) % len(FRAMES)]}" if section.reading else ""
            left = Content.assemble((section.title, "bold $primary"), (sign, "$accent"))
            return _spread(left, Content.styled(section.aside, "$quiet"), width)
        here = row is self.row
        return self._row(row, named, width, here)

    def _row(self, row: HomeRow, named: int, width: int, here: bool) -> Content:
        name = Content(visible(row.name, 200)).truncate(named, ellipsis=True)
        name = Content.assemble(name, " " * (named - name.cell_length))
        about = Content(visible(row.about, 200))
        aside = Content(visible(row.aside, 40))
        if not here:
            name = name.stylize("bold")
            about, aside = about.stylize("$waiting" if row.alarm else "$quiet"), aside.stylize("$quiet")
        left = Content.assemble("▸ " if here else "  ", name, "  ", about)
        line = _spread(left.truncate(max(1, width - aside.cell_length - 2), ellipsis=True), aside, width)
        return line.stylize("bold $cursor-text on $cursor" if self.has_focus else "$accent") if here else line


def _spread(left: Content, right: Content, width: int) -> Content:
    return Content.assemble(left, " " * max(1, width - left.cell_length - right.cell_length - 1), right, " ")


def _lines(sections: Sequence[HomeSection]) -> Iterator[Line]:
    visible_sections = [section for section in sections if section.rows or section.reading]
    for place, section in enumerate(visible_sections):
        if place:
            yield None
        yield section, None
        for row in section.rows:
            yield section, row
