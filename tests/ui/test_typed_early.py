"""Keys that were typed while libraries were loaded."""

from __future__ import annotations

import pytest
from textual import events
from textual.app import ComposeResult

from tracetui.ui.themed_app import ThemedApp
from tracetui.ui.widgets.line_input import LineInput


class TypedEarly(ThemedApp):
    def __init__(self, *typed: events.Event) -> None:
        super().__init__()
        self.typed = typed

    def on_load(self) -> None:
        super().on_load()
        for event in self.typed:
            self.post_message(event)

    def compose(self) -> ComposeResult:
        yield LineInput("ab")


@pytest.mark.parametrize(
    ("first", "value"),
    [(events.Key("end", None), "abcd"), (events.Key("home", None), "cdab"), (events.Paste("e"), "ecd")],
)
async def test_they_reach_the_line_in_their_order(first: events.Event, value: str) -> None:
    app = TypedEarly(first, events.Key("c", "c"), events.Key("d", "d"))
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.query_one(LineInput).value == value


async def test_a_key_that_ends_the_program_doesn_t_wait() -> None:
    app = TypedEarly(events.Key("ctrl+q", None))
    async with app.run_test() as pilot:
        await pilot.pause()
    assert app.return_code == 0
