"""Goes to a record by a part of its site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tracetui.ui.foreign import safe_text
from tracetui.ui.screens.dialog import Dialog
from tracetui.ui.widgets.line_input import LineInput

_MOST = 200


class JumpScreen(Dialog[int | None]):
    """Records whose key has all the typed words, best place first; the answer is an index, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("up", "move(-1)", "up", show=False),
    ]

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="jump"):
            yield LineInput(placeholder="part of a site, such as 1 q_proj", compact=True)
            found = OptionList(*self._options(""))
            found.can_focus = False
            yield found
            yield Static("no record has that in its site", id="jump-none", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        found = self.query_one(OptionList)
        found.clear_options()
        found.add_options(self._options(event.value))
        found.highlighted = 0 if found.option_count else None
        self.set_class(not found.option_count, "-none")

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        found = self.query_one(OptionList)
        if found.highlighted is not None:
            self._answer(found.get_option_at_index(found.highlighted))

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        self._answer(event.option)

    def action_move(self, by: int) -> None:
        found = self.query_one(OptionList)
        if found.highlighted is not None:
            found.highlighted = max(0, min(found.option_count - 1, found.highlighted + by))

    def action_leave(self) -> None:
        self.dismiss(None)

    def _answer(self, option: Option) -> None:
        self.dismiss(int(option.id or 0))

    def _options(self, typed: str) -> list[Option]:
        words = typed.lower().split()
        found = (index for index, key in enumerate(self._keys) if all(word in key.lower() for word in words))
        return [
            Option(safe_text(f"{index:>5}  {self._keys[index]}"), id=str(index))
            for index, _ in zip(found, range(_MOST), strict=False)
        ]
