"""A line to type in: what is shown of it, and that a long one costs no more than what is on view."""

from __future__ import annotations

import pytest
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult

from tests.ui.driving import driven
from tracetui.ui.widgets import line_input
from tracetui.ui.widgets.line_input import LineInput

WIDTH = 24
TEXTS = {
    "plain": "the answer to the ultimate question of life",
    "wide": "日本語のテキスト and then 中文字符 at the end of it",
    "hidden": "a\x1b[31mred\u202e and more of it, \x07, to the end",
}


class OneLine(App[None]):
    CSS = f"LineInput {{ width: {WIDTH}; }}"

    def __init__(self, text: str) -> None:
        super().__init__()
        self.typed = text

    def compose(self) -> ComposeResult:
        yield LineInput(self.typed, compact=True, select_on_focus=False)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_at_every_place_of_the_cursor_the_line_around_it_is_shown(text: str) -> None:
    """Textual's own way, which renders the whole line and cuts it, is what the window on it is held to."""
    app = OneLine(text)
    async with app.run_test(size=(WIDTH, 2)) as pilot:
        line = app.query_one(LineInput)
        for place in range(len(text) + 1):
            line.cursor_position = place
            await pilot.pause()
            left, width = line.scroll_offset.x, line.scrollable_content_region.width
            whole = super(LineInput, line).render_line(0)
            assert line._window(left, width + 1) == whole
            assert line._cell_offset_to_index(line._position_to_cell(place) - left) == place


async def test_what_is_selected_is_shown_as_textual_does() -> None:
    app = OneLine(TEXTS["wide"])
    async with app.run_test(size=(WIDTH, 2)) as pilot:
        line = app.query_one(LineInput)
        for start, end in ((0, 5), (3, 40), (30, 12)):
            line.selection = type(line.selection)(start, end)
            await pilot.pause()
            left, width = line.scroll_offset.x, line.scrollable_content_region.width
            assert line._window(left, width + 1) == super(LineInput, line).render_line(0)


async def test_of_a_pasted_megabyte_only_what_is_on_view_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []

    def counted(content: str = "", *arguments: object, **options: object) -> object:
        rendered.append(len(content))
        return Text(content, *arguments, **options)  # type: ignore[arg-type]

    async with driven() as debugger:
        monkeypatch.setattr(line_input, "Text", counted)
        line = debugger.app.focused
        assert isinstance(line, LineInput)
        line.post_message(events.Paste("two words " * 100_000))
        await debugger.settle()
        await debugger.press("a", "left", "b", "home", "c")
        assert len(line.value) > 1_000_000
    assert rendered
    assert max(rendered) < 1000


async def test_text_typed_behind_a_key_of_the_line_doesn_t_overtake_it() -> None:
    """As on a machine that is busy, where several keys wait at once."""
    app = OneLine("ab")
    async with app.run_test(size=(WIDTH, 2)) as pilot:
        line = app.query_one(LineInput)
        line.selection = type(line.selection)(2, 0)
        for key in (events.Key("end", None), events.Key("c", "c"), events.Key("home", None), events.Key("d", "d")):
            app.post_message(key)
        app.post_message(events.Key("right", None))
        app.post_message(events.Paste("e"))
        await pilot.pause()
        assert line.value == "daebc"
