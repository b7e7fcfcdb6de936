"""The panes; where all of them are on view, the gaps between them can be dragged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.reactive import reactive
from textual.widget import Widget

from tracetui.debugger.state import ScreenState
from tracetui.ui.painting.later import mount_later


class PaneGrid(Widget):
    """A gap is the blank column between two panes, or the title line of a lower one."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    def __init__(self, first: Widget, drag: Callable[[str, int, int], None]) -> None:
        """first: stands in front until the panes are there.

        drag: takes which gap (`columns`, `rows`, `experts`), and the column and row of the screen to drag it to.
        """
        super().__init__(id="panes")
        self._first = first
        self._drag = drag
        self._gap = ""

    def compose(self) -> ComposeResult:
        yield self._first

    async def show(self, panes: Sequence[Widget]) -> None:
        """The panes, in place of what stood there first."""
        await self._first.remove()
        await mount_later(self, *panes)

    def gap_at(self, x: int, y: int) -> str:
        """Which gap is at a cell of the screen; empty for none."""
        regions = {child.id: child.region for child in self.children if child.display}
        left, right, lower, experts = (regions.get(id_) for id_ in ("tensor", "attention", "logits", "experts"))
        if left is None or right is None or lower is None or left.y != right.y:
            return ""
        if x == left.right:
            return "columns"
        if experts is not None and x == experts.x - 1:
            return "experts"
        return "rows" if y == lower.y and x < right.right else ""

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._gap = self.gap_at(event.screen_x, event.screen_y)
        if self._gap:
            event.stop()
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._gap:
            event.stop()
            self._drag(self._gap, event.screen_x, event.screen_y)

    def on_mouse_up(self) -> None:
        if self._gap:
            self._gap = ""
            self.release_mouse()
