"""Goes to a record by a part of its site."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tracetui.recording.record import Record
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import LEAVE, DialogKeys
from tracetui.ui.foreign import safe_text
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.line_input import LineInput
from tracetui.ui.widgets.options import Options

_MOST = 200


class JumpScreen(Dialog[int | None]):
    """Records whose key has all the typed words, best place first; the answer is an index, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False, id="leave"),
        Binding("down", "move(1)", "down", show=False, id="jump_down"),
        Binding("up", "move(-1)", "up", show=False, id="jump_up"),
    ]

    def __init__(self, records: Sequence[Record], count: int) -> None:
        """The first `count` of the records: the list may grow."""
        super().__init__()
        self._records = records
        self._count = count
        self._typed = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="jump"):
            yield Static("Go to a record", classes="dialog-title", markup=False)
            yield LineInput(placeholder="part of a site, such as 1 q_proj", compact=True)
            options = Options()
            options.can_focus = False
            yield options
            yield Static("no record has that in its site", id="jump-none", markup=False)
            yield DialogKeys(("Enter", "goes there", "submit"), LEAVE, ("↑↓", "choose", ""))

    def on_mount(self) -> None:
        self._look("")

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self._look(event.value)

    def _look(self, typed: str) -> None:
        """Have the records searched: there may be a hundred thousand."""
        self._typed = typed
        work = partial(_read, self._records, self._count, typed)
        read_in_background(self, "jump", work, self._show, lambda: self._typed, holds_paint=True)

    def _show(self, matches: tuple[tuple[int, str], ...]) -> None:
        """The first records that have what was typed: index and key."""
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(safe_text(f"{at:>5}  {key}"), id=str(at)) for at, key in matches])
        options.highlighted = 0 if options.option_count else None
        self.set_class(not options.option_count, "-none")

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            self._answer(options.get_option_at_index(options.highlighted))

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        self._answer(event.option)

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            options.highlighted = max(0, min(options.option_count - 1, options.highlighted + by))

    def action_leave(self) -> None:
        self.dismiss(None)

    def _answer(self, option: Option) -> None:
        self.dismiss(int(option.id or 0))


def _read(records: Sequence[Record], count: int, typed: str) -> tuple[tuple[int, str], ...]:
    words = typed.lower().split()
    keys = ((index, records[index].key) for index in range(count))
    fitting = ((index, key) for index, key in keys if all(word in key.lower() for word in words))
    return tuple(islice(fitting, _MOST))
