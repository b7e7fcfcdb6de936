"""Nothing on the screen is from before a change: what was repainted of it is what all of it would be, drawn anew."""

from __future__ import annotations

import pytest

from tests.ui import dyadic
from tests.ui.driving import Driven, driven
from tests.ui.painting.terminal import Painted

KEYS = {
    "steps": ("p", "{", "home", "n", "9", "left"),
    "panes": ("4", "2", ">", "O", "1", "3", "H", "z"),
    "marks": ("b", "1", "left", "%", "ctrl+l", "slash", "escape", "r", "m", "enter", "p"),
}
"""One hand after another over a run that is over."""


async def painted(it: Driven) -> None:
    """Until nothing is left to paint."""
    await it.settle()
    screen = it.app.screen
    while it.app._batch_count or screen._dirty_widgets or screen._layout_required or screen._repaint_required:
        await it.pilot.pause(0.005)
    await it.pilot.pause()


@pytest.mark.parametrize("name", KEYS)
async def test_every_key_leaves_the_screen_as_if_it_were_drawn_anew(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c")
        terminal = Painted(it.app)
        for key in KEYS[name]:
            await it.press(key)
            await painted(it)
            assert it.app.screen is not it.screen or terminal.stale(monkeypatch) == [], key


async def test_so_it_is_in_other_sizes_and_themes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(size=(200, 60), prepare=dyadic.llama) as it:
        await it.press("enter", "c")
        terminal = Painted(it.app)
        for key in ("p", "3", "{", "]"):
            await it.press(key)
            await painted(it)
            assert terminal.stale(monkeypatch) == [], key
        it.app.theme = "tracetui-light"
        await painted(it)
        assert terminal.stale(monkeypatch) == []
        await it.pilot.resize_terminal(80, 24)
        await it.press("s")
        await painted(it)
        assert terminal.stale(monkeypatch) == []
