"""The strip below the panes: the residual stream through the layers, and the records around the cursor."""

from __future__ import annotations

from textual.containers import Horizontal
from textual.reactive import reactive

from tracetui.debugger.state import ScreenState
from tracetui.ui.painting.later import mount_later


class RunStrip(Horizontal):
    """Hands the state on to both; neither has anything to show before a run."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    def __init__(self) -> None:
        super().__init__(id="strip")

    async def fill(self) -> None:
        """Once the screen has been painted."""
        from tracetui.ui.widgets.nearby import Nearby
        from tracetui.ui.widgets.residual_line import ResidualLine

        await mount_later(self, ResidualLine(), Nearby())
