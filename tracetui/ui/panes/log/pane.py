"""Pane 6: what happened, in order."""

from __future__ import annotations

from collections import deque
from textwrap import wrap
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType

from tracetui.text import visible
from tracetui.ui.widgets.canvas import Canvas
from tracetui.views.cells import Line, line
from tracetui.views.inks import Inks

_KEPT = 1000


class LogPane(Canvas, can_focus=True):
    """The newest line is at the bottom and in view until the user scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(1)", "up", show=False, id="move_up"),
        Binding("down,j", "scroll_by(-1)", "down", show=False, id="move_down"),
        Binding("pageup", "scroll_by(10)", "page up", show=False, id="page_up"),
        Binding("pagedown", "scroll_by(-10)", "page down", show=False, id="page_down"),
    ]

    def __init__(self) -> None:
        super().__init__(id="log", classes="pane")
        self._entries: deque[tuple[str, bool]] = deque(maxlen=_KEPT)
        self._up = 0
        self._printed = ""

    def on_mount(self) -> None:
        # A model's own print would go nowhere: the screen has the terminal.
        self.begin_capture_print()

    def on_print(self, event: events.Print) -> None:
        *lines, self._printed = f"{self._printed}{event.text}".split("\n")
        for text in lines:
            self.add(text)

    def add(self, text: str, trouble: bool = False) -> None:
        """One entry; the text may come from anywhere and may have many lines."""
        self._entries.extend((visible(part, 2000), trouble) for part in text.splitlines() or [""])
        self._up = 0
        self.repaint()

    @property
    def text(self) -> str:
        return "\n".join(entry for entry, _ in self._entries)

    def action_scroll_by(self, by: int) -> None:
        self._up = max(0, min(len(self._entries) - 1, self._up + by))
        self.repaint()

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        drawn: list[Line] = []
        for text, trouble in reversed(list(self._entries)[: len(self._entries) - self._up]):
            drawn = [*_wrapped(text, width, inks.nan if trouble else inks.text, inks), *drawn]
            if len(drawn) >= height:
                break
        return drawn[-height:]


def _wrapped(text: str, width: int, style: Style, inks: Inks) -> list[Line]:
    """The text in lines of the pane's width, those after the first indented."""
    pieces = wrap(text, max(8, width - 4), break_on_hyphens=False) or [""]
    return [
        line([(" · " if not place else "   ", inks.quiet), (piece, style)], width) for place, piece in enumerate(pieces)
    ]
