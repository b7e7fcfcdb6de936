"""The line under the cursor stands out in every list of a dialog, however few colours there are."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.widgets import OptionList

from tests.ui.driving import driven


@pytest.mark.parametrize("keys", [("t",), ("ctrl+o",), ("ctrl+p",)])
async def test_a_lists_cursor_is_the_screens_and_its_ground_the_dialogs(keys: tuple[str, ...]) -> None:
    async with driven() as it:
        await it.press("enter", "c", *keys)
        options = next(each for each in it.screen.app.screen.query(OptionList) if each.id != "ask-offered")
        cursor = options.get_component_styles("option-list--option-highlighted").background
        assert cursor == Color.parse(it.screen.app.theme_variables["cursor"])
        assert options.styles.background_tint.a == 0
