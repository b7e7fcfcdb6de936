"""A widget drawn from lines of segments, computed once for each size and theme."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from tracetui.ui.theme_variables import inks
from tracetui.views.cells import Line
from tracetui.views.inks import Inks


class Canvas(Widget):
    """Subclasses say in `lines` what to draw, and call `repaint` when that has changed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._drawn: list[Line] = []
        self._drawn_for: object = None

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        """`height` lines of `width` cells; fewer leave the rest blank."""
        raise NotImplementedError

    def repaint(self, layout: bool = False) -> None:
        self._drawn_for = None
        self.refresh(layout=layout)

    def render_line(self, y: int) -> Strip:
        size = self.size
        if self._drawn_for != (wanted := (size, self.app.theme)):
            self._drawn = self.lines(size.width, size.height, inks(self.app.theme_variables))
            self._drawn_for = wanted
        base = self.rich_style
        if y >= len(self._drawn):
            return Strip.blank(size.width, base)
        return Strip(Segment.apply_style(self._drawn[y], base)).adjust_cell_length(size.width, base)
