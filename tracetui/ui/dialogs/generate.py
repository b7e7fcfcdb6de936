"""Asks how many tokens the model shall add."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from tracetui.errors import InputError
from tracetui.recipe.generation import check_count
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import LEAVE, DialogKeys
from tracetui.ui.widgets.line_input import LineInput

_USUAL = 8
_QUESTION = "How many more tokens shall the model choose?"
_ABOUT = "Each goes through it in a pass of its own."


class GenerateScreen(Dialog[int | None]):
    """The answer is a number of tokens, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", show=False, id="leave")]

    def __init__(self, count: int) -> None:
        """count: what is offered; 0 for the usual number."""
        super().__init__()
        self._count = count or _USUAL

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="generate"):
            yield Static(_QUESTION, markup=False)
            yield LineInput(str(self._count), compact=True, max_length=8)
            yield Static(_ABOUT, id="generate-about", markup=False)
            yield DialogKeys(("Enter", "lets it go on", "submit"), LEAVE)

    def on_mount(self) -> None:
        self.query_one(LineInput).select_all()

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            typed = event.value.strip()
            self.dismiss(check_count(int(typed) if typed.isdecimal() else -1, "how many") or None)
        except InputError:
            self.query_one("#generate-about", Static).update("a number is needed, such as 8")

    def action_leave(self) -> None:
        self.dismiss(None)
