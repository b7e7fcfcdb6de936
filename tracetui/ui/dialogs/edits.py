"""The list of edits: on and off, away, and another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tracetui.debugger.edits import switched
from tracetui.expr.edit import Edit
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import LEAVE, DialogKeys
from tracetui.ui.foreign import safe_text
from tracetui.ui.widgets.list_keys import LINE_KEYS
from tracetui.ui.widgets.options import Options

Edits = tuple[Edit, ...]
_HINT = "They hold from the next record on, and in later runs."
_KEYS = (("Space", "on or off", "switch"), ("Del", "away", "delete"), ("a", "another", "new"), LEAVE)


class EditsScreen(Dialog[bool]):
    """Space switches, Delete takes away; the answer is whether another one is wanted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,X,q", "leave", "leave", show=False, id="leave"),
        *LINE_KEYS,
        Binding("space", "switch", "on or off", show=False, id="edits_switch"),
        Binding("delete,d,backspace", "delete", "take it away", show=False, id="edits_delete"),
        Binding("a,E", "new", "another one", show=False, id="edits_new"),
    ]

    def __init__(self, edits: Callable[[], Edits], change: Callable[[Edits], bool]) -> None:
        """edits: returns the present edits; change: sets others, and returns whether it could."""
        super().__init__()
        self._edits = edits
        self._change = change

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="edits"):
            yield Static("Edits", classes="dialog-title")
            options = Options()
            options.can_focus = False
            yield options
            yield Static(_HINT, id="edits-hint", markup=False)
            yield DialogKeys(*_KEYS)

    def on_mount(self) -> None:
        self._fill()

    def _fill(self) -> None:
        options = self.query_one(OptionList)
        line = options.highlighted or 0
        options.clear_options()
        options.add_options([Option(safe_text(_line(edit))) for edit in self._edits()])
        options.highlighted = min(line, options.option_count - 1) if options.option_count else None

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            options.highlighted = max(0, min(options.option_count - 1, options.highlighted + by))

    def action_switch(self) -> None:
        if (at := self.query_one(OptionList).highlighted) is not None:
            self._put(switched(self._edits(), at))

    def action_delete(self) -> None:
        if (at := self.query_one(OptionList).highlighted) is not None:
            self._put((*self._edits()[:at], *self._edits()[at + 1 :]))

    def _put(self, edits: Edits) -> None:
        if not self._change(edits):
            self.app.bell()
        self._fill()

    def action_new(self) -> None:
        self.dismiss(True)

    def action_leave(self) -> None:
        self.dismiss(False)


def _line(edit: Edit) -> str:
    return f"{'E' if edit.on else 'e'} {edit.text}{'' if edit.on else '  off'}"
