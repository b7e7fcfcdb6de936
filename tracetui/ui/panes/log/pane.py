"""Pane 6: what happened, in order, each entry with its time and how much it matters."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from textwrap import wrap
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from tracetui.debugger.log.level import Level
from tracetui.text import visible
from tracetui.ui.widgets.canvas import Canvas
from tracetui.ui.widgets.list_keys import FAR
from tracetui.views.cells import Line, line
from tracetui.views.inks import Inks

_KEPT = 1000
_ROOMY = 60
"""Cells from which on seconds are shown."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the log, or one more of the entry before."""

    clock: str
    """`14:03:09`; empty for a further line of an entry."""
    level: Level
    text: str


def clock_now() -> str:
    """`14:03:09`."""
    return time.strftime("%H:%M:%S")


class LogPane(Canvas, can_focus=True):
    """The newest line is at the bottom and in view until the user scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(1)", "up", show=False, id="move_up"),
        Binding("down,j", "scroll_by(-1)", "down", show=False, id="move_down"),
        Binding("pageup", "scroll_by(10)", "page up", show=False, id="page_up"),
        Binding("pagedown", "scroll_by(-10)", "page down", show=False, id="page_down"),
        Binding("g", f"scroll_by({FAR})", "the first entry", show=False, id="move_first"),
        Binding("G", f"scroll_by({-FAR})", "the newest entry", show=False, id="move_last"),
    ]

    unread: reactive[int] = reactive(0, repaint=False)
    """Entries that somebody should read, come while the pane was not on view."""

    def __init__(self) -> None:
        super().__init__(id="log", classes="pane")
        self._entries: deque[LogEntry] = deque(maxlen=_KEPT)
        self._up = 0
        self._printed = ""

    def on_mount(self) -> None:
        # A model's own print would go nowhere: the screen has the terminal.
        self.begin_capture_print()

    def on_show(self) -> None:
        self.unread = 0

    def on_print(self, event: events.Print) -> None:
        *lines, self._printed = f"{self._printed}{event.text}".split("\n")
        for text in lines:
            self.add(text)

    def add(self, text: str, level: Level = Level.EVENT) -> None:
        """One entry; the text may come from anywhere and may have many lines."""
        clock = clock_now()
        for place, part in enumerate(text.splitlines() or [""]):
            self._entries.append(LogEntry("" if place else clock, level, visible(part, 2000)))
        if level is not Level.EVENT and not self.display:
            self.unread += 1
        self._up = 0
        self.repaint()

    @property
    def text(self) -> str:
        return "\n".join(entry.text for entry in self._entries)

    def action_scroll_by(self, by: int) -> None:
        self._up = max(0, min(len(self._entries) - 1, self._up + by))
        self.repaint()

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        drawn: list[Line] = []
        for entry in reversed(list(self._entries)[: len(self._entries) - self._up]):
            drawn = [*_wrapped(entry, width, inks), *drawn]
            if len(drawn) >= height:
                break
        return drawn[-height:]


def _wrapped(entry: LogEntry, width: int, inks: Inks) -> list[Line]:
    """An entry in lines of the pane's width, time and level before the first; columns stay in line."""
    styles = {Level.WARNING: inks.mark, Level.ERROR: inks.nan}
    style = styles.get(entry.level, inks.text)
    clock = entry.clock if width >= _ROOMY else entry.clock[:-3]
    level = entry.level.value if entry.clock else ""
    before = f" {clock:<{8 if width >= _ROOMY else 5}} {level:<1} "
    room = max(8, width - len(before))
    pieces = [entry.text] if entry.text.startswith("  ") else wrap(entry.text, room, break_on_hyphens=False) or [""]
    return [
        line(
            [(before if not place else " " * len(before), inks.quiet if style is inks.text else style), (piece, style)],
            width,
        )
        for place, piece in enumerate(pieces)
    ]
