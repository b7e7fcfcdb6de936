"""The line above the module tree: its title, or what is searched for in it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from tracetui.ui.widgets.line_input import LineInput


class FindInput(LineInput):
    """Enter goes to the next match, Esc ends the search."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "end the search", show=False)]

    class Left(Message):
        """The search is over."""

    def action_leave(self) -> None:
        self.post_message(self.Left())


class FindBar(Horizontal):
    """`1 Modules`, or `/ q_proj`."""

    class Wanted(Message):
        """Go to the next module that has `text` in its path."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(id="find-bar")

    def compose(self) -> ComposeResult:
        yield Static(" 1 Modules", id="modules-title", markup=False)
        yield FindInput(placeholder="find a module", id="find", compact=True)

    def open(self) -> None:
        """Show the search line and put the cursor there."""
        self.add_class("-finding")
        find = self.query_one(FindInput)
        find.value = ""
        find.focus()

    def close(self) -> None:
        self.remove_class("-finding")

    @on(Input.Submitted)
    def _want(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Wanted(event.value))
