"""The list of stops: what each has done, on and off, and from there to its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tracetui.debugger.stop_book import Entry, StopBook
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import LEAVE, DialogKeys
from tracetui.ui.foreign import safe_text
from tracetui.ui.widgets.list_keys import LINE_KEYS
from tracetui.ui.widgets.options import Options
from tracetui.views.cells import fit

_KEYS = (
    ("Enter", "to its record", "choose"),
    ("Space", "on or off", "switch"),
    ("Del", "away", "delete"),
    ("a", "another", "new"),
    LEAVE,
)
_NAME = 52
_BESIDE = 36
"""Cells of a line that the stop's text doesn't get, those around the dialog included."""


@dataclass(frozen=True, slots=True)
class ToHit:
    """Go to the record of a hit."""

    index: int


class NewStop:
    """Type another one."""


class StopsScreen(Dialog[ToHit | NewStop | None]):
    """Enter goes to a stop's next hit after the cursor, or round to its first; Space switches, Delete takes it away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,S,q", "leave", "leave", show=False, id="leave"),
        *LINE_KEYS,
        Binding("enter", "choose", "to its record", show=False, id="stops_choose"),
        Binding("space", "switch", "on or off", show=False, id="stops_switch"),
        Binding("delete,d,backspace", "delete", "take it away", show=False, id="stops_delete"),
        Binding("a,B", "new", "another one", show=False, id="stops_new"),
    ]

    def __init__(self, book: Callable[[], StopBook], change: Callable[[Entry, bool | None], None], cursor: int) -> None:
        """`book` are the stops as they stand now; `change` sets one on or off, or takes it away (None)."""
        super().__init__()
        self._book = book
        self._change = change
        self._cursor = cursor

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="stops"):
            yield Static("Stops", classes="dialog-title")
            options = Options()
            options.can_focus = False
            yield options
            yield DialogKeys(*_KEYS)

    def on_mount(self) -> None:
        self.refresh_list()

    def refresh_list(self) -> None:
        """The stops as they stand now, the line where it was."""
        options = self.query_one(OptionList)
        line = options.highlighted or 0
        options.clear_options()
        room = max(12, min(_NAME, self.app.size.width - _BESIDE))
        options.add_options([Option(safe_text(_line(entry, room))) for entry in self._book().entries])
        options.highlighted = min(line, options.option_count - 1) if options.option_count else None

    @property
    def _entry(self) -> Entry | None:
        at = self.query_one(OptionList).highlighted
        return None if at is None else self._book().entries[at]

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            options.highlighted = max(0, min(options.option_count - 1, options.highlighted + by))

    @on(OptionList.OptionSelected)
    def action_choose(self) -> None:
        """To the next hit after the cursor, or the first."""
        places = self._entry.places if self._entry is not None else ()
        if not places:
            self.app.bell()
            return
        self.dismiss(ToHit(next((place for place in places if place > self._cursor), places[0])))

    def action_switch(self) -> None:
        if self._entry is not None:
            self._change(self._entry, not self._entry.stop.on)
            self.refresh_list()

    def action_delete(self) -> None:
        if self._entry is not None:
            self._change(self._entry, None)
            self.refresh_list()

    def action_new(self) -> None:
        self.dismiss(NewStop())

    def action_leave(self) -> None:
        self.dismiss(None)


def _line(entry: Entry, room: int) -> str:
    count = len(entry.hits)
    hit_count = f"{count} hit{'' if count == 1 else 's'}"
    hits = hit_count if not entry.unknown else "looking…" if entry.stop.on else ""
    note = "off" if not entry.stop.on else "once a run" if entry.stop.once else ""
    return f"{'●' if entry.stop.on else '○'} {fit(entry.stop.text, room)} {fit(hits, 9, right=True)}  {note}"
