"""All keys, grouped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tracetui.expr.names import NAMES
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.keys.commands import COMMANDS, GROUPS, Command, shown_keys

_IN_PANES = (
    ("arrows hjkl", "move: a line, a cell, the crosshair"),
    ("PgUp PgDn", "a page; Shift+arrows a page sideways"),
    ("Enter", "in the tree: go to the module's record"),
    ("+ - 0", "in attention: closer, farther, the whole matrix"),
    ("m  x", "of a heatmap: colour map, linear or log scale"),
    ("x", "of a histogram: linear, by decades, full range"),
    ("Tab", "the next pane; in the prompt Esc leaves it"),
    ("Ctrl+C", "cancel the run; again, or when nothing runs, quit"),
)

_WITH_NAMES = 112


class HelpScreen(Dialog[None]):
    """Scrolls; any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1,enter", "dismiss(None)", "close", show=False, id="help_close"),
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
            names = self.app.size.width >= _WITH_NAMES
            yield Static(Content("\n").join(list(_lines(self._keymap_shown, names, *self._told))))

    def action_scroll(self, by: int) -> None:
        self.query_one("#help").scroll_relative(y=by, animate=False)


def _lines(
    keymap: Mapping[str, str],
    names: bool,
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
                yield _line(shown_keys(command, keymap), command.help, command.id if names else "", widest)
    yield Content("")
    yield Content.styled("In the panes", "bold $foreground")
    for keys, what in in_panes:
        yield _line(keys, what, "", widest)
    yield Content("")
    yield Content.styled("Names in conditions of stops and in watches", "bold $foreground")
    for name in NAMES:
        yield _line(f"{name.form} ", f"{name.meaning} [{name.unit}]" if names else name.meaning, "", widest)


def _line(keys: str, what: str, name: str, widest: int) -> Content:
    described = f"{what:<{widest}}  " if name else what
    return Content.assemble((f"{keys:<13} ", "bold $accent"), described, (name, "$quiet"))
