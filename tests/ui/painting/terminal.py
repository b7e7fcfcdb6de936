"""What a terminal shows after all updates it was sent, beside what a screen drawn from scratch would show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate
from textual.app import App
from textual.strip import Strip
from textual.widget import Widget

from tracetui.ui.painting.compositor import PartCompositor

Cell = tuple[str, object]


class Painted:
    """The cells of an application's screen as its updates left them, line by line."""

    def __init__(self, app: App[Any]) -> None:
        self.app = app
        self.lines: list[list[Cell]] = []
        self.count = 0
        """Updates so far."""
        display = app._display

        def noted(screen: Any, renderable: Any) -> None:
            if renderable is not None and not app._batch_count:
                self.count += 1
                self._take(renderable)
            display(screen, renderable)

        app._display = noted  # type: ignore[method-assign]
        app.screen.refresh()

    def _take(self, update: object) -> None:
        if isinstance(update, LayoutUpdate):
            self.lines = [_cells(Strip.join(strips)) for strips in update.strips]
        elif isinstance(update, ChopsUpdate):
            for y, first, last in update.spans:
                for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=True):
                    if strip is not None and x < last and end > first:
                        cells = _cells(strip)[: min(end, last) - x]
                        self.lines[y][x : x + len(cells)] = cells

    def stale(self, patch: pytest.MonkeyPatch) -> list[str]:
        """Lines that would be others if all of the screen were drawn anew, by Textual's own compositor."""
        screen = self.app.screen
        for widget in screen.walk_children(Widget, with_self=True):
            widget._set_dirty()
            widget.notify_style_update()
        with patch.context() as stock:
            stock.setattr(PartCompositor, "_get_renders", Compositor._get_renders)
            fresh = [_cells(strip) for strip in screen._compositor.render_strips()]
        pairs = zip(self.lines, fresh, strict=True)
        return [f"{y}: {_text(is_)!r} → {_text(due)!r}" for y, (is_, due) in enumerate(pairs) if is_ != due]


def _cells(segments: Iterable[Segment]) -> list[Cell]:
    """One entry a cell; the second cell of a wide character is empty."""
    cells: list[Cell] = []
    for text, style, control in segments:
        for char in "" if control else text:
            width = cell_len(char)
            if not width and cells:
                cells[-1] = cells[-1][0] + char, cells[-1][1]
            cells.extend([(char, style), *[("", style)] * (width - 1)][:width])
    return cells


def _text(cells: Iterable[Cell]) -> str:
    return "".join(char for char, _ in cells)
