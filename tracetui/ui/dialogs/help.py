"""All keys, grouped."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from tracetui.expr.names import NAMES
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import CLOSE, DialogKeys
from tracetui.ui.keys.commands import COMMANDS, GROUPS, Command, shown_keys
from tracetui.ui.widgets.line_input import LineInput

_IN_PANES = (
    ("arrows hjkl", "move: a line, a cell, the crosshair; g G to the ends"),
    ("PgUp PgDn", "a page; Shift+arrows a page sideways"),
    ("Enter", "in the tree: go to the module's record"),
    ("+ - 0", "in attention: closer, farther, the whole matrix"),
    ("m  x", "of a heatmap: colour map, linear or log scale"),
    ("x", "of a histogram: linear, by decades, full range"),
    ("← → PgUp PgDn", "of the timeline: a column, ten; click, drag, wheel"),
    ("Tab", "the next pane; in the prompt Esc leaves it"),
    ("Ctrl+C", "cancel the run; again, or when nothing runs, quit"),
)

_NONE = Content("no key has that")
_WITH_NAMES = 112
_KEYS = 14
"""Columns that the keys take."""
_FRAME = 6
"""Columns that the dialog's padding and its scrollbar take."""


class HelpScreen(Dialog[None]):
    """Scrolls; any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1,enter", "dismiss(None)", "close", show=False, id="help_close"),
        Binding("slash", "find", "search", show=False, id="help_find"),
        Binding("j", "scroll(1)", "down", show=False, id="move_down"),
        Binding("k", "scroll(-1)", "up", show=False, id="move_up"),
    ]

    def __init__(
        self,
        keymap: Mapping[str, str],
        commands: Sequence[Command] = COMMANDS,
        groups: Sequence[str] = GROUPS,
        in_panes: Sequence[tuple[str, str]] = _IN_PANES,
    ) -> None:
        super().__init__()
        self._keymap_shown = keymap
        self._told = (commands, groups, in_panes)

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", id="help"):
            yield LineInput(placeholder="search the keys", id="help-find", compact=True)
            yield Static(self._content(""), id="help-keys")
            yield DialogKeys(("/", "searches", "find"), CLOSE)

    def on_mount(self) -> None:
        self.query_one("#help-find").display = False
        self.query_one("#help").focus()

    def _content(self, text: str) -> Content:
        """All lines, or those that have a text."""
        width = self.app.size.width
        lines = _lines(self._keymap_shown, width >= _WITH_NAMES, int(0.95 * width) - _FRAME - _KEYS, *self._told)
        return Content("\n").join([line for line in lines if text.lower() in line.plain.lower()] or [_NONE])

    def action_find(self) -> None:
        """Type what is looked for."""
        find = self.query_one("#help-find", LineInput)
        find.display = True
        find.focus()

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self.query_one("#help-keys", Static).update(self._content(event.value))

    @on(Input.Submitted)
    def _leave_line(self) -> None:
        self.query_one("#help").focus()

    def action_scroll(self, by: int) -> None:
        self.query_one("#help").scroll_relative(y=by, animate=False)


def _lines(
    keymap: Mapping[str, str],
    names: bool,
    room: int,
    commands: Sequence[Command],
    groups: Sequence[str],
    in_panes: Sequence[tuple[str, str]],
) -> Iterator[Content]:
    remap = "   the names on the right remap them in keys.toml" if names else ""
    yield Content.assemble(("Keys", "bold $primary"), (remap, "$quiet"))
    widest = max((len(command.help) for command in commands), default=0)
    for group in groups:
        yield Content("")
        yield Content.styled(group, "bold $foreground")
        for command in commands:
            if command.group == group:
                yield _line(shown_keys(command, keymap), command.help, command.id if names else "", widest, room)
    yield Content("")
    yield Content.styled("In the panes", "bold $foreground")
    for keys, what in in_panes:
        yield _line(keys, what, "", widest, room)
    yield Content("")
    yield Content.styled("Names in conditions of stops and in watches", "bold $foreground")
    for name in NAMES:
        yield _line(f"{name.form} ", f"{name.meaning} [{name.unit}]" if names else name.meaning, "", widest, room)


def _line(keys: str, what: str, name: str, widest: int, room: int) -> Content:
    folded = f"\n{'':<{_KEYS}}".join(textwrap.wrap(what, max(room, _KEYS)))
    described = f"{what:<{widest}}  " if name else folded
    return Content.assemble((f"{keys:<{_KEYS - 1}} ", "bold $accent"), described, (name, "$quiet"))
