"""A dialog's keys stand in its last line, can be clicked, and leave it at every size."""

from __future__ import annotations

from tests.ui import dyadic
from tests.ui.driving import Driven, driven
from tracetui.ui.dialogs.dialog_keys import DialogKeys

DIALOGS = (
    "condition",
    "stops",
    "until",
    "watch",
    "jump",
    "export",
    "diff",
    "theme",
    "config",
    "help",
)


async def click(it: Driven, words: str) -> None:
    """On the words in the dialog's last line."""
    await it.settle()
    keys = it.app.screen.query_one(DialogKeys)
    text = keys.render().plain
    assert words in text
    await it.pilot.click(DialogKeys, offset=(text.index(words), 0))
    await it.settle()


async def test_every_dialog_can_be_left_by_the_mouse_at_every_size() -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c")
        for size in ((60, 16), (120, 40)):
            await it.pilot.resize_terminal(*size)
            for dialog in DIALOGS:
                it.screen.action_command(dialog)
                await it.settle()
                assert it.app.screen is not it.screen, dialog
                assert it.app.screen.region.contains_region(it.app.screen.query_one(DialogKeys).region), (dialog, size)
                await click(it, "Esc")
                assert it.app.screen is it.screen, (dialog, size)


async def test_a_click_does_what_the_key_does() -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "S")
        before = [entry.stop.on for entry in it.state.stops.entries]
        await click(it, "on or off")
        assert [entry.stop.on for entry in it.state.stops.entries] == [not before[0], *before[1:]]
        await click(it, "another")
        await it.press(*"nosuch")
        await click(it, "takes it")
        assert "nosuch" in it.text()
        assert it.app.screen is not it.screen


async def test_what_is_kept_of_a_line_is_offered_only_as_long_as_it_is_selected() -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "B")
        assert "keeps the selected" in it.text()
        await it.press("m")
        assert "keeps the selected" not in it.text()
