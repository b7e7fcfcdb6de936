"""The strip below the panes: the residual stream through the layers, and the records around the cursor."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.reactive import reactive

from tracetui.debugger.state import ScreenState
from tracetui.ui.widgets.nearby import Nearby
from tracetui.ui.widgets.residual_line import ResidualLine


class RunStrip(Horizontal):
    """Hands the state on to both."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    def __init__(self) -> None:
        super().__init__(id="strip")

    def compose(self) -> ComposeResult:
        yield ResidualLine().data_bind(RunStrip.state)
        yield Nearby().data_bind(RunStrip.state)
