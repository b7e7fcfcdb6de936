"""Text made of the state, which is painted again only when another text comes of it."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tracetui.debugger.state import ScreenState


class StateText(Widget):
    """Subclasses say in `content` what stands there, and call `look_again` when more than the state has changed."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    _painted: Content | None = None
    """What was painted last."""

    def content(self) -> Content:
        """What stands there now, at this size."""
        raise NotImplementedError

    def render(self) -> Content:
        self._painted = self.content()
        return self._painted

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        self.look_again()

    def look_again(self) -> None:
        """Have it painted if it isn't what was painted last."""
        if self._painted is None or not self.is_mounted or not self.content().is_same(self._painted):
            self._painted = None
            self.refresh()
