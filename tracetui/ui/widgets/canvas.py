"""A widget drawn from lines of segments, made once for each size and theme."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from tracetui.debugger.state import ScreenState
from tracetui.ui.painting.drawings import KeptDrawings
from tracetui.ui.painting.focus import PlainFocus
from tracetui.ui.theme.variables import inks
from tracetui.views.cells import Line
from tracetui.views.inks import Inks

PATIENCE = 0.1
"""Seconds for which a picture waits for its numbers before it shows that it has none."""


class Patience:
    """Calls once a picture has waited long enough, counted from the last begin."""

    def __init__(self, widget: Widget, then: Callable[[], None]) -> None:
        self._widget = widget
        self._then = then
        self._waits: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
        self._waits = asyncio.get_running_loop().call_later(PATIENCE, self._widget.call_later, self._then)


class Canvas(KeptDrawings, PlainFocus):
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

    def forget_lines(self) -> None:
        self._drawn_for = None
        super().forget_lines()

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
        grounded = _Grounded(base)
        return [
            Strip([Segment(text, grounded.of(style)) for text, style, _ in line]).adjust_cell_length(width, base)
            for line in [*lines, *[blank] * (height - len(lines))]
        ]


class StateCanvas(Canvas):
    """Draws the state of a session, and keeps what it drew of one trace."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        if state.trace is not old.trace:
            self.forget_drawings()

    def look_again(self) -> None:
        """Have it painted if it isn't what is on the screen."""
        if self.drawing() != self.on_screen:
            self.repaint()

    def draw_ahead(self, state: ScreenState) -> None:
        """Keep what another state would show."""
        shown = self.state
        self.set_reactive(StateCanvas.state, state)
        try:
            self.draw_aside()
        finally:
            self.set_reactive(StateCanvas.state, shown)


class _Grounded:
    """Styles on the ground of a widget: of the same few all of a picture is made."""

    def __init__(self, base: Style) -> None:
        self._base = base
        self._made: dict[int, tuple[Style | None, Style]] = {id(None): (None, base)}
        """By the identity of a style, that style, so that it stays, and what comes of it."""

    def of(self, style: Style | None) -> Style:
        made = self._made.get(id(style))
        if made is None:
            made = self._made[id(style)] = style, self._base + style
        return made[1]
