"""What a widget has drawn, or has drawn ahead: to show it once more is to look it up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

MOST = 12
"""Drawings that a widget keeps."""


class Same:
    """A thing that is compared by being the very same."""

    __slots__ = ("what",)

    def __init__(self, what: object) -> None:
        self.what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.what is self.what

    def __hash__(self) -> int:
        return id(self.what)


class Drawing(NamedTuple):
    """What decides what is drawn, beside size and colours."""

    of: Hashable
    """One drawing is kept of each."""
    way: object = None
    """How it is drawn: another way takes its place."""


class KeptDrawings(Widget):
    """Subclasses say in `drawing` what is to be drawn. Those of another size or in other colours are thrown away."""

    on_screen: Drawing | None = None
    """What was asked for last."""
    _drawings: OrderedDict[Hashable, tuple[object, list[Strip]]] | None = None
    """The way it was drawn and all lines, by what they show."""
    _drawings_for: Size | None = None

    def drawing(self) -> Drawing | None:
        """What is to be drawn now; None where that is drawn each time."""
        return None

    def shown_again(self, drawing: Drawing) -> None:
        """A drawing that is kept is shown: what a subclass notes when it draws."""

    def notify_style_update(self) -> None:
        self._drawings = None
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        self.on_screen = self.drawing()
        if self.on_screen is None:
            return super().render_lines(crop)
        lines = self._lines_of(self.on_screen)[crop.y : crop.bottom]
        across = crop.column_span
        return lines if across == (0, self.outer_size.width) else [line.crop(*across) for line in lines]

    def _lines_of(self, drawing: Drawing) -> list[Strip]:
        size = self.outer_size
        if self._drawings is None or self._drawings_for != size:
            self._drawings, self._drawings_for = OrderedDict(), size
        kept = self._drawings.get(drawing.of)
        if kept is not None and kept[0] == drawing.way:
            self.shown_again(drawing)
        else:
            kept = self._drawings[drawing.of] = drawing.way, super().render_lines(size.region)
            if len(self._drawings) > MOST:
                self._drawings.popitem(last=False)
        self._drawings.move_to_end(drawing.of)
        return kept[1]

    def draw_aside(self) -> None:
        """Keep what is to be drawn now, and show what is on the screen as if it hadn't been."""
        drawing = self.drawing()
        if drawing is not None and self.is_on_screen:
            self.forget_lines()
            try:
                self._lines_of(drawing)
            finally:
                self.forget_lines()

    def forget_drawings(self) -> None:
        """They are of what nobody looks at any more."""
        self._drawings = None

    def forget_lines(self) -> None:
        """Have whatever isn't kept drawn anew."""
        self._styles_cache.clear()
