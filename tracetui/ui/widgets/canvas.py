"""A widget drawn from lines of segments, made once for each size and theme."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from tracetui.ui.theme.variables import inks
from tracetui.views.cells import Line
from tracetui.views.inks import Inks

PATIENCE = 0.1
"""Seconds for which a picture waits for its numbers before it shows that it has none."""


class Canvas(Widget):
    """Subclasses say in `lines` what to draw, and call `repaint` when that has changed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._drawn: list[Strip] = []
        self._drawn_for: object = None

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        """`height` lines of `width` cells; fewer leave the rest blank."""
        raise NotImplementedError

    def repaint(self) -> None:
        self._drawn_for = None
        self.refresh()

    def notify_style_update(self) -> None:
        self._drawn_for = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        if self._drawn_for != self.size:
            self._drawn = self._draw()
            self._drawn_for = self.size
        return self._drawn[y] if y < len(self._drawn) else Strip.blank(self.size.width, self.rich_style)

    def _draw(self) -> list[Strip]:
        width, height = self.size
        base = self.rich_style
        lines = self.lines(width, height, inks(self.app.theme_variables))
        blank = [Segment(" " * width)]
        return [
            Strip(Segment.apply_style(line, base)).adjust_cell_length(width, base)
            for line in [*lines, *[blank] * (height - len(lines))]
        ]
