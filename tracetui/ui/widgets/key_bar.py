"""The last line: the keys that matter now, the important ones first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.content import Content
from textual.reactive import reactive

from tracetui.ui.keys.commands import COMMANDS, Command, footer_commands, footer_key
from tracetui.ui.widgets.action_line import ActionLine, Part

_WHILE_TYPING = (("Enter", "go"), ("Esc", "leave"), ("Ctrl+P", "commands"), ("Ctrl+Q", "quit"), ("Ctrl+U", "empty"))

_KEPT = frozenset(command.action_on_screen for command in COMMANDS if command.id in ("help", "quit"))
"""Whoever knows no key needs these two."""


class KeyBar(ActionLine):
    """`n over  s into  u out`, cut where the line ends; another set while a line is typed."""

    kept: ClassVar = _KEPT

    typing: reactive[bool] = reactive(False)
    rows: reactive[int] = reactive(1)
    """Prompts in the batch; where there is one, the keys that change it are left out."""

    def __init__(self, keymap: Mapping[str, str], recorded: bool = False) -> None:
        """recorded: there is nothing to run."""
        super().__init__()
        self._keymap = keymap
        self._recorded = recorded

    def parts(self) -> list[Part]:
        if self.typing:
            return [(_part(key, label), "") for key, label in _WHILE_TYPING]
        left_out = {*(["next_row"] if self.rows < 2 else []), *(["prompt"] if self._recorded else [])}
        return [self._command(command) for command in footer_commands() if command.id not in left_out]

    def _command(self, command: Command) -> Part:
        label = "end" if self._recorded and command.id == "continue" else command.label
        return _part(footer_key(command, self._keymap), label), command.action_on_screen


class CommandBar(ActionLine):
    """The keys of a screen with commands of its own."""

    kept: ClassVar = _KEPT

    def __init__(self, commands: Sequence[Command], keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._commands = commands
        self._keymap = keymap

    def parts(self) -> list[Part]:
        return [self._command(command) for command in footer_commands(self._commands)]

    def _command(self, command: Command) -> Part:
        return _part(footer_key(command, self._keymap, self._commands), command.label), command.action_on_screen


def _part(key: str, label: str) -> Content:
    return Content.assemble(
        (f" {key}", "bold $footer-key-foreground"), (f" {label} ", "$footer-description-foreground")
    )
