"""One key, one meaning."""

from __future__ import annotations

from tracetui.ui.diff_screen.commands import DIFF_COMMANDS
from tracetui.ui.keys.commands import COMMANDS, Command

ESC = {"escape"}
"""Leaves whatever there is to leave."""


def ids(commands: tuple[Command, ...]) -> dict[str, str]:
    return {key: command.id for command in commands for key in command.keys.split(",")}


def test_a_key_of_the_diff_means_in_the_debugger_the_same_or_nothing() -> None:
    there = ids(COMMANDS)
    assert {
        key: (id_, there[key]) for key, id_ in ids(DIFF_COMMANDS).items() if there.get(key, id_) != id_
    }.keys() <= ESC


def test_no_two_commands_have_one_key() -> None:
    for commands in (COMMANDS, DIFF_COMMANDS):
        keys = [key for command in commands for key in command.keys.split(",")]
        assert len(set(keys)) == len(keys)
