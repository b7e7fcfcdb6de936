"""What is on view, explained: the record, its pane, and the pane's keys; all keys are one key further."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tracetui.debugger.lessons import LessonLine
from tracetui.text import visible
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import CLOSE, DialogKeys
from tracetui.ui.keys.commands import COMMANDS, shown_keys

_GAP = 2
"""Columns between the labels and what is said."""
_FRAME = 6
"""Columns of the dialog's padding and its scrollbar."""
_WIDEST = 100
_OF_PANE = {
    "modules": ("find", "names", "stop", "run_to_line"),
    "tensor": ("next_head", "next_token", "largest", "outlier_map", "edit", "health", "source"),
    "attention": ("next_head", "next_token", "scores", "rope", "check_heads", "edit"),
    "experts": ("next_head", "next_layer", "next_token", "edit"),
    "logits": ("lens", "generate", "next_pass"),
    "log": (),
}


class TeachScreen(Dialog[None]):
    """Scrolls; `?` goes on to all keys, any other of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss(None)", "close", show=False, id="teach_close"),
        Binding("question_mark,f1", "all_keys", "all keys", show=False, id="teach_keys"),
        Binding("j", "scroll(1)", "down", show=False, id="move_down"),
        Binding("k", "scroll(-1)", "up", show=False, id="move_up"),
    ]

    def __init__(
        self, lines: Sequence[LessonLine], pane: str, keymap: Mapping[str, str], all_keys: Callable[[], None]
    ) -> None:
        super().__init__()
        self._lines = lines
        self._pane = pane
        self._keymap_shown = keymap
        self._all_keys = all_keys

    def compose(self) -> ComposeResult:
        room = min(_WIDEST, int(0.95 * self.app.size.width) - _FRAME)
        with VerticalScroll(classes="dialog", id="teach"):
            yield Static(Content("\n").join(self._content(room)))
            yield DialogKeys(("?", "all keys", "all_keys"), CLOSE)

    def _content(self, room: int) -> Iterator[Content]:
        commands = [command for command in COMMANDS if command.id in _OF_PANE.get(self._pane, ())]
        keys = [shown_keys(command, self._keymap_shown) for command in commands]
        labels = _GAP + max(map(len, [*keys, *(line.label for line in self._lines)]), default=0)
        for line in self._lines:
            yield from _folded(line.label, line.text, labels, room)
        if commands:
            yield Content("")
        for key, command in zip(keys, commands, strict=True):
            yield from _folded(key, command.help, labels, room, "bold $accent")

    def action_scroll(self, by: int) -> None:
        self.query_one("#teach").scroll_relative(y=by, animate=False)

    def action_all_keys(self) -> None:
        self.dismiss(None)
        self._all_keys()


def _folded(label: str, text: str, labels: int, room: int, style: str = "$quiet") -> Iterator[Content]:
    """A label and its text in lines; a text without a label is a heading, or goes on. labels: columns of all labels."""
    first, *others = textwrap.wrap(visible(text, 2000), max(20, room - labels)) or [""]
    yield Content.assemble((f"{label:<{labels}}", style), (first, "" if label else "bold"))
    yield from (Content(f"{'':<{labels}}{part}") for part in others)
