"""What can be typed in a line: forms and their meanings, to scroll through while the line waits."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tracetui.text import visible
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import CLOSE, DialogKeys

_FORM = 22
"""Columns of a form."""
_FRAME = 6
"""Columns of the dialog's padding and its scrollbar."""


@dataclass(frozen=True, slots=True)
class FormTable:
    """Forms of one kind, each with what it means."""

    title: str
    forms: tuple[tuple[str, str], ...]


class FormsScreen(Dialog[None]):
    """Scrolls; any of its keys goes back to the line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q,enter,question_mark", "dismiss(None)", "close", show=False, id="forms_close"),
        Binding("j", "scroll(1)", "down", show=False, id="move_down"),
        Binding("k", "scroll(-1)", "up", show=False, id="move_up"),
        Binding("g", "scroll(-1000000)", "top", show=False, id="move_first"),
        Binding("G", "scroll(1000000)", "end", show=False, id="move_last"),
    ]

    def __init__(self, title: str, tables: Sequence[FormTable]) -> None:
        super().__init__()
        self._heading = title
        self._tables = tables

    def compose(self) -> ComposeResult:
        room = int(0.95 * self.app.size.width) - _FRAME
        with VerticalScroll(classes="dialog", id="forms"):
            yield Static(Content("\n").join(_lines(self._heading, self._tables, room)))
            yield DialogKeys(CLOSE)

    def action_scroll(self, by: int) -> None:
        self.query_one("#forms").scroll_relative(y=by, animate=False)


def _lines(heading: str, tables: Sequence[FormTable], room: int) -> Iterator[Content]:
    yield Content.styled(visible(heading, 200), "bold $primary")
    for table in tables:
        yield Content("")
        yield Content.styled(table.title, "bold $foreground")
        for form, meaning in table.forms:
            folded = textwrap.wrap(meaning, max(20, room - _FORM)) or [""]
            yield Content.assemble((f"{form:<{_FORM - 1}} ", "bold $accent"), folded[0])
            yield from (Content(f"{'':<{_FORM}}{part}") for part in folded[1:])
