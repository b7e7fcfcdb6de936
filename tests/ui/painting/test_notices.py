"""How far the model is costs a paint a few times a second, and none beside a key's."""

from __future__ import annotations

import asyncio

import pytest

from tests.ui.driving import driven
from tracetui.debugger.session import Advanced, Progress, Stopped
from tracetui.debugger.state import ScreenState
from tracetui.ui.painting.notices import Notices

NOTICE = Progress("model.layers.0.mlp.up_proj.weight", 1, 2)


class Screen:
    """Shows whatever there is, and tells its followers."""

    def __init__(self) -> None:
        self.shown = 0
        self.notices = Notices(self.show)

    def show(self) -> None:
        self.shown += 1
        self.notices.shown(ScreenState(), ScreenState())


async def test_of_many_notices_the_first_is_shown_at_once_and_the_last_once_the_screen_has_rested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracetui.ui.painting.notices.APART", 0.001)
    screen = Screen()
    for event in (NOTICE, Advanced(3), NOTICE):
        assert screen.notices.takes(event)
    assert screen.shown == 1
    while screen.shown < 2:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.005)
    assert screen.shown == 2


async def test_what_a_key_shows_has_the_newest_notice_in_it() -> None:
    screen = Screen()
    screen.show()
    assert screen.notices.takes(NOTICE)
    assert screen.shown == 1
    screen.show()
    screen.notices._rested()
    assert screen.shown == 2


async def test_whatever_is_no_notice_is_shown_by_whoever_hears_it() -> None:
    screen = Screen()
    assert not screen.notices.takes(Stopped(1))
    assert screen.shown == 0


async def test_the_step_line_comes_to_tell_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.ui.painting.notices.APART", 0.001)
    async with driven() as it:
        await it.press("enter")
        for done in (0, 1, 2):
            it.screen.parts.heard.hear(Progress("w", done, 2))
        while "100%" not in it.text():
            await it.pilot.pause(0.002)
