"""Whatever a token, a name or an error text holds, the screen shows it and the terminal obeys none of it."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.widgets import DataTable, Label, Static, Tree
from textual.widgets._toast import Toast

from tracetui.text import token_text, visible
from tracetui.ui.foreign import notify, safe, safe_text, set_title

HOSTILE = [
    "[/INST]",
    "[@click=app.quit]x[/]",
    "</s>[INST] hi [/INST]",
    "[red]not red[/red]",
    "[link=https://example.org]x[/link]",
    "\\[b]",
    "[",
    "$text [$error]",
    "\x1b]0;owned\x07title",
    "\x9b31mred",
    "\x1b[2J\x1b[H",
    "\u202egnp.exe",
    "a\u200bb",
    "e" + "\u0301" * 40,
    "\ud800 lone",
    "two\nlines\tand a tab",
    "한국어 日本語",
    "❤\ufe0f",
    "👋\U0001f3fb",
    "\u3164\u115f",
    "",
]
ANY_TEXT = st.text(st.characters(), max_size=40)


def acts_on_terminal(text: str) -> list[str]:
    """The characters that a terminal obeys or hides, a lone surrogate included."""
    return [c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}]


@given(ANY_TEXT)
def test_what_is_shown_holds_nothing_that_a_terminal_obeys(foreign: str) -> None:
    shown = visible(foreign)
    assert acts_on_terminal(shown) == []
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert visible(shown, limit=len(shown)) == shown


@given(ANY_TEXT)
def test_content_and_text_are_the_visible_text_without_styles(foreign: str) -> None:
    assert safe(foreign).plain == visible(foreign)
    assert safe_text(foreign).plain == visible(foreign)
    assert not safe(foreign).spans
    assert not safe_text(foreign).spans


@given(st.text("eé\u0301\u20dd\u0e47\u0489x\u093e\u1161\ud7b0\U0001f3fb", max_size=60))
def test_characters_without_width_never_pile_up(foreign: str) -> None:
    shown = visible(foreign)
    widths = [cell_len(char) for char in shown]
    assert all(sum(widths[at : at + 5]) > 0 for at in range(len(shown) - 4))


def test_every_character_is_seen_or_drawn_into_the_one_before() -> None:
    unseen = [char for char in map(chr, range(sys.maxunicode + 1)) if cell_len(visible(char)) == 0]
    hangul = [char for char in unseen if "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7fb"]
    assert {unicodedata.category(char)[0] for char in set(unseen) - set(hangul)} == {"M"}


def test_long_text_is_cut_and_says_so() -> None:
    assert safe("x" * 500, limit=10).plain == "x" * 10 + "…"
    assert safe_text("x" * 10, limit=10).plain == "x" * 10


class Gallery(App[None]):
    """Every kind of place that shows foreign text."""

    CSS = "Tree, DataTable { height: 6; } #title { border: solid red; height: 3; }"

    def __init__(self, foreign: str) -> None:
        super().__init__()
        self.foreign = foreign

    def compose(self) -> ComposeResult:
        yield Static(safe(self.foreign), id="static")
        yield Label(safe(self.foreign), id="label")
        titled = Static("", id="title")
        set_title(titled, self.foreign)
        yield titled
        tree: Tree[None] = Tree(safe_text(self.foreign), id="tree")
        tree.root.add_leaf(safe_text(self.foreign))
        tree.root.expand()
        yield tree
        yield DataTable(id="table")

    def on_mount(self) -> None:
        table = self.query_one("#table", DataTable)
        table.add_column(safe_text(self.foreign), width=240)
        table.add_row(safe(self.foreign))
        notify(self, self.foreign, title=self.foreign, severity="error")


def lines_of(app: App[None], selector: str) -> list[str]:
    region = app.query_one(selector).region
    strips = app.screen._compositor.render_strips()
    return [strip.crop(region.x, region.right).text for strip in strips[region.y : region.bottom]]


def without_blanks(text: str) -> str:
    return "".join(text.split())


async def check_gallery(foreign: str) -> None:
    shown = without_blanks(visible(foreign))
    async with Gallery(foreign).run_test(size=(260, 40), notifications=True) as pilot:
        await pilot.pause()
        app = pilot.app
        for selector in ("#static", "#label", "#title", "#tree", "#table"):
            lines = lines_of(app, selector)
            assert acts_on_terminal("".join(lines)) == []
            assert shown in without_blanks("".join(lines)), selector
        assert lines_of(app, "#tree")[1].count(visible(foreign)) >= 1
        toast = "".join(lines_of(app, "Toast"))
        assert acts_on_terminal(toast) == []
        assert shown in without_blanks(str(app.query_one(Toast).render()))
        links = [s.style.meta for strip in app.screen._compositor.render_strips() for s in strip if s.style]
        assert not any("@click" in meta for meta in links)
        assert app.is_running


@pytest.mark.parametrize("foreign", HOSTILE)
async def test_every_place_shows_hostile_text_as_it_is(foreign: str) -> None:
    await check_gallery(foreign)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters() | st.sampled_from("[]@/=\\\x1b\x9b"), min_size=1, max_size=20))
async def test_every_place_shows_any_text_as_it_is(foreign: str) -> None:
    await check_gallery(foreign)


@given(st.binary(max_size=12))
def test_a_token_of_any_bytes_can_be_shown(token: bytes) -> None:
    assert acts_on_terminal(safe(token_text(token)).plain) == []
