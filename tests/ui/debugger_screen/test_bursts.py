"""Keys that come faster than the screen answers: each of them counts."""

from __future__ import annotations

import pytest
from textual import events
from textual.command import CommandList

from tests.ui.driving import Driven, driven
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.options import Options


async def burst(it: Driven, *keys: str) -> None:
    """All keys at once, as a held key over a slow line sends them."""
    for key in keys:
        it.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await it.settle()
    await it.settle()


@pytest.mark.parametrize(
    ("keys", "cell", "token"),
    [
        (("down",) * 5, (5, 0), 5),
        (("j",) * 3, (3, 0), 3),
        (("down", "down", "right", "down", "up", "right"), (2, 2), 2),
        (("right",) * 5, (0, 5), 0),
        (("greater_than_sign",) * 3, (2, 0), 2),
        (("greater_than_sign",) * 5 + ("less_than_sign",) * 2, (2, 0), 2),
    ],
)
async def test_every_press_moves_the_crosshair(keys: tuple[str, ...], cell: tuple[int, int], token: int) -> None:
    async with driven() as it:
        await it.press("enter", "c", "3")
        await burst(it, *keys)
        assert (it.screen.query_one("#heatmap", Heatmap).cursor, it.state.token) == (cell, token)


async def test_every_press_moves_the_value_cell() -> None:
    async with driven() as it:
        await it.press("enter", "2")
        await burst(it, *["down"] * 5, *["right"] * 3, "up")
        assert (it.screen.query_one(ValueGrid).cell, it.state.token) == ((4, 3), 4)
        await burst(it, *["greater_than_sign"] * 3)
        assert (it.screen.query_one(ValueGrid).cell, it.state.token) == ((7, 3), 7)


async def test_every_press_changes_the_head() -> None:
    async with driven() as it:
        await it.press("enter", "c", "3")
        await burst(it, *["right_square_bracket"] * 3, "left_square_bracket")
        assert it.state.head == 2


async def test_a_new_prompt_puts_both_cursors_at_the_start() -> None:
    async with driven() as it:
        await it.press("enter", "c", "3")
        await burst(it, "down", "down", "right", "right")
        await it.press("r", "x", "enter", "c")
        assert it.screen.query_one("#heatmap", Heatmap).cursor == (0, 0)
        assert it.screen.query_one(ValueGrid).cell == (0, 0)
        assert it.state.token == -1


async def test_clicks_around_the_palette_leave_it_alone_and_once() -> None:
    async with driven() as it:
        await it.press("ctrl+p")
        palette = it.app.screen
        for _ in range(3):
            palette.post_message(events.Click(palette, 1, 1, 0, 0, 1, False, False, False, 1, 1))
        await it.settle()
        await it.settle()
        assert it.app.screen_stack[-1] is it.screen


@pytest.mark.parametrize("key", ["ctrl+p", "t", "ctrl+o"])
async def test_pages_of_a_list_without_room_come_to_nothing(key: str) -> None:
    async with driven() as it:
        await it.press("enter", key)
        await it.pilot.resize_terminal(1, 1)
        await it.press("down", "pagedown", "pageup")
        await it.pilot.resize_terminal(80, 24)
        await it.press("escape")
        assert it.app.screen is it.screen


async def test_a_click_where_nothing_is_drawn_comes_to_nothing() -> None:
    async with driven() as it:
        await it.press("ctrl+p")
        palette = it.app.screen
        palette.post_message(events.Click(palette, 33, 600, 0, 0, 1, False, False, False, 33, 600))
        await it.settle()
        assert it.app.is_running
        await it.press("escape")
        assert it.app.screen_stack[-1] is it.screen


async def test_a_click_on_an_option_that_has_gone_comes_to_nothing() -> None:
    async with driven() as it:
        await it.press("enter", "t")
        options = it.app.screen.query_one(Options)
        row = options.region.offset
        drawn = it.app.screen.get_style_at(*row)
        assert drawn.meta["option"] == 0
        click = events.Click(options, 0, 0, 0, 0, 1, False, False, False, *row, drawn)
        options.clear_options()
        options.post_message(click)
        await it.settle()
        assert it.app.is_running


async def test_a_click_on_a_command_that_is_found_no_more_comes_to_nothing() -> None:
    async with driven() as it:
        await it.press("ctrl+p")
        palette = it.app.screen
        options = palette.query_one(CommandList)
        for _ in range(20):
            await it.settle()
            if palette.get_style_at(*options.content_region.offset).meta:
                break
        row = options.content_region.offset
        assert palette.get_style_at(*row).meta["option"] == 0
        options._options.clear()
        palette._forward_event(events.Click(options, *row, 0, 0, 1, False, False, False, *row))
        await it.settle()
        assert it.app.is_running
