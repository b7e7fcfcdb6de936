"""The home screen, driven by its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.events import Paste
from textual.pilot import Pilot

from tracetui.debugger.home.rows import HomeRow, HomeSection
from tracetui.errors import InputError
from tracetui.ui.home.app import HomeApp
from tracetui.ui.home.list import HomeList
from tracetui.ui.home.screen import HomeReaders
from tracetui.ui.widgets.line_input import LineInput

RECENT = HomeSection(
    "Recent",
    (
        HomeRow("llama-tiny", "NaN in layer 7", "11:20", ("run", "llama-tiny"), alarm=True),
        HomeRow("run.npz", "llama-tiny", "yesterday", ("open", "/tmp/[/red]\x1b[31mrun.npz")),
    ),
)
MODELS = HomeSection("Ships", (HomeRow("deepseek-v3", "full width", "2.3 GiB, 1 min", ("run", "deepseek-v3")),))


def typed(line: str) -> HomeRow:
    return HomeRow(line, "opens", command=("open", line)) if line != "bad" else HomeRow(line, "no such", alarm=True)


def fails() -> HomeSection:
    raise InputError("cache: can't be read")


READERS = HomeReaders({"Recent": lambda: RECENT, "Ships": lambda: MODELS}, typed)


@asynccontextmanager
async def at_home(
    readers: HomeReaders = READERS, size: tuple[int, int] = (80, 24), problem: str = ""
) -> AsyncIterator[tuple[HomeApp, Pilot[int]]]:
    app = HomeApp(readers, problem)
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        yield app, pilot


async def settle(app: HomeApp, pilot: Pilot[int]) -> None:
    for _ in range(4):
        await pilot.pause()
        await app.workers.wait_for_complete()
    await pilot.pause()


def text(app: HomeApp) -> str:
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)


async def test_enter_opens_what_the_cursor_is_on() -> None:
    async with at_home() as (app, pilot):
        shown = text(app)
        assert "llama-tiny" in shown
        assert "NaN in layer 7" in shown
        assert "2.3 GiB, 1 min" in shown
        assert "\x1b" not in shown
        await pilot.press("j", "enter")
    assert app.chosen == RECENT.rows[1].command


async def test_tab_goes_from_section_to_section_and_a_click_opens() -> None:
    async with at_home() as (app, pilot):
        await pilot.press("tab")
        assert app.screen.query_one(HomeList).row == MODELS.rows[0]
        await pilot.press("shift+tab", "G")
        assert app.screen.query_one(HomeList).row is not None
        line = next(y for y, shown in enumerate(text(app).splitlines()) if "run.npz" in shown)
        await pilot.click(offset=(10, line))
    assert app.chosen == RECENT.rows[1].command


async def test_typing_finds_rows_and_else_says_what_the_line_would_open() -> None:
    async with at_home() as (app, pilot):
        await pilot.press("slash", "d", "e", "e", "p")
        await settle(app, pilot)
        assert "deepseek-v3" in text(app)
        assert "run.npz" not in text(app)
        app.screen.query_one(LineInput).value = "/tmp/x.npz"
        await settle(app, pilot)
        assert "/tmp/x.npz" in text(app).partition("Enter opens")[2]
        await pilot.press("enter")
    assert app.chosen == ("open", "/tmp/x.npz")


async def test_a_name_that_opens_nothing_says_why_and_escape_leads_back() -> None:
    async with at_home() as (app, pilot):
        app.screen.post_message(Paste("bad\nmore"))
        await settle(app, pilot)
        assert app.screen.query_one(LineInput).value == "bad"
        assert "no such" in text(app)
        await pilot.press("enter", "escape")
        await settle(app, pilot)
        assert "deepseek-v3" in text(app)
        await pilot.press("q")
    assert app.chosen == ()


async def test_who_has_opened_nothing_yet_is_offered_the_tour_first() -> None:
    readers = HomeReaders({"Recent": lambda: HomeSection("Recent"), "Ships": fails}, typed)
    async with at_home(readers, problem="nosuch: no such model") as (app, pilot):
        assert "nosuch: no such model" not in text(app), "newer trouble stands in its place"
        assert "cache: can't be read" in text(app)
        await pilot.press("enter")
    assert app.chosen == ("tour",)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_at_every_size_the_keys_and_the_first_rows_are_seen(size: tuple[int, int]) -> None:
    many = HomeSection("Ships", tuple(HomeRow(f"model-{i}", command=("run", str(i))) for i in range(50)))
    async with at_home(HomeReaders({"Recent": lambda: RECENT, "Ships": lambda: many}, typed), size) as (app, pilot):
        assert "q quit" in text(app)
        assert "▸ llama-tiny" in text(app)
        assert "more" in text(app)
        await pilot.press("end")
        assert "▸ Take the tour" in text(app)


async def test_what_is_too_small_says_so() -> None:
    async with at_home(size=(50, 12)) as (app, _):
        assert "too small" in text(app)
