"""Chooses a theme while it is seen."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import DialogKeys
from tracetui.ui.foreign import safe_text
from tracetui.ui.theme.themes import remember_theme
from tracetui.ui.widgets.options import Options


class ThemeScreen(Dialog[None]):
    """The line under the cursor is tried on at once; Enter keeps and remembers it, Esc goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,t", "leave", "leave", show=False, id="leave"),
        Binding("j", "move('down')", "down", show=False, id="move_down"),
        Binding("k", "move('up')", "up", show=False, id="move_up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._before = ""
        self._names: list[str] = []

    def compose(self) -> ComposeResult:
        self._before = self.app.theme
        self._names = sorted(self.app.available_themes, key=lambda name: (not name.startswith("tracetui"), name))
        with Vertical(classes="dialog", id="themes"):
            yield Static("Theme", classes="dialog-title", markup=False)
            yield Options(*(Option(safe_text(name), id=str(place)) for place, name in enumerate(self._names)))
            yield DialogKeys(("Enter", "keeps it", "keep"), ("Esc", "back", "leave"))

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = self._names.index(self._before)

    @on(OptionList.OptionHighlighted)
    def _try(self, event: OptionList.OptionHighlighted) -> None:
        self.app.theme = self._names[event.option_index]

    @on(OptionList.OptionSelected)
    def _keep(self, event: OptionList.OptionSelected) -> None:
        name = self._names[event.option_index]
        self.app.theme = name
        self.app.run_worker(partial(remember_theme, name), thread=True, exit_on_error=False, group="theme")
        self.dismiss(None)

    def action_move(self, way: str) -> None:
        options = self.query_one(OptionList)
        options.action_cursor_down() if way == "down" else options.action_cursor_up()

    def action_keep(self) -> None:
        self.query_one(OptionList).action_select()

    def action_leave(self) -> None:
        self.app.theme = self._before
        self.dismiss(None)
