"""Every key of the debugger does something that is seen, or says why it doesn't, whatever has run by then."""

from __future__ import annotations

import pytest

from tests.ui import dyadic
from tests.ui.driving import Driven, driven
from tracetui.ui.keys.commands import COMMANDS
from tracetui.ui.widgets.step_bar import StepBar

SILENT = {"cancel"}
"""Esc, of which everybody knows that it does nothing where there is nothing to leave."""
States = {"nothing": (), "stopped": ("enter",), "finished": ("enter", "c")}


def looks(it: Driven) -> tuple[object, ...]:
    """What a person sees, and what was asked of the session."""
    bar = it.screen.query_one(StepBar)
    focused = it.screen.focused
    return it.text(), it.app.screen, it.state, bar.remark, tuple(it.notices), len(it.session.calls), focused


async def begin(it: Driven, keys: tuple[str, ...]) -> None:
    await it.press(*(keys or ("escape",)))


@pytest.mark.parametrize("name", States)
async def test_each_does_something_or_says_why(name: str) -> None:
    idle = []
    async with driven((120, 40), prepare=dyadic.llama) as it:
        await begin(it, States[name])
        for command in COMMANDS:
            if command.id in SILENT or command.app:
                continue
            it.screen.host.forget_remark()
            it.app.clear_notifications()
            before = looks(it)
            it.screen.action_command(command.id)
            await it.settle()
            if looks(it) == before:
                idle.append(command.id)
            while it.app.screen is not it.screen:
                it.app.pop_screen()
            it.screen.arrangement.to_front()
    assert not idle, " ".join(idle)
