"""A line between two parts of the screen that the mouse can drag."""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from textual import events
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

Drag = Callable[[int, int], None]
"""Takes the column and row of the screen to which a line is dragged."""


class Divider(Widget):
    """One cell wide or high; seen while the mouse is on it."""

    ALLOW_SELECT = False
    """A drag from here would mark the text that it goes over."""
    held: reactive[bool] = reactive(False)

    def __init__(self, id_: str, is_upright: bool, drag: Drag) -> None:
        super().__init__(id=id_, classes="divider")
        self._is_upright = is_upright
        self._drag = drag

    def render_line(self, y: int) -> Strip:
        held = self.held or self.mouse_hover
        if self._is_upright:
            grip = y in range(self.size.height // 2 - 1, self.size.height // 2 + 2)
            text = "┃" if held else "┊" if grip else " "
        else:
            text = ("━" if held else "─") * self.size.width
        return Strip([Segment(text, self.rich_style)])

    def on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        self.capture_mouse()
        self.held = True

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.held:
            event.stop()
            self._drag(event.screen_x, event.screen_y)

    def on_mouse_up(self) -> None:
        self.held = False
        self.release_mouse()
