"""The step line and the timeline: one below the other, or beside it where lines are few."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.reactive import reactive
from textual.widget import Widget

from tracetui.debugger.state import ScreenState
from tracetui.ui.painting.later import mount_later
from tracetui.ui.widgets.step_bar import StepBar


class StepLines(Widget):
    """Hands the state on to both; the timeline isn't shown before a run."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    def __init__(self, bar: StepBar) -> None:
        super().__init__(id="steps")
        self._bar = bar

    def compose(self) -> ComposeResult:
        yield self._bar.data_bind(StepLines.state)

    async def fill(self) -> None:
        """The timeline too, once the screen has been painted."""
        from tracetui.ui.widgets.timeline import TimelineBar

        await mount_later(self, TimelineBar())
