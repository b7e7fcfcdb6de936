"""What is left of a style without colours."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.color import Color

from tests.ui.driving import driven
from tracetui.ui.terminal.no_color import WithoutColours

GROUND, CURSOR = Color(20, 20, 30), Color(60, 70, 120)
FILTER = WithoutColours({"cursor": CURSOR.hex, "accent": "#ffaa00 40%"})


@pytest.mark.parametrize(
    ("style", "left"),
    [
        (Style(color="#e0e0e0", bgcolor=GROUND.rich_color), Style()),
        (Style(color="#e0e0e0", bgcolor=CURSOR.rich_color, bold=True), Style(bold=True, reverse=True)),
        (Style(color="#e0e0e0", bgcolor=Color(62, 72, 118).rich_color), Style(reverse=True)),
        (Style(color="#303040", bgcolor=GROUND.rich_color), Style(dim=True)),
        (Style(color="#ff5555", reverse=True), Style(reverse=True)),
        (Style(color="#e0e0e0", bgcolor="#1e1e2a"), Style()),
        (Style(italic=True), Style(italic=True)),
    ],
)
def test_grounds_that_mark_are_reversed_and_faint_lines_are_dim(style: Style, left: Style) -> None:
    (segment,) = FILTER.apply([Segment("x", style)], GROUND)
    assert segment.style is not None
    assert segment.style.color is segment.style.bgcolor is None
    attributes = ("bold", "dim", "italic", "reverse")
    assert [bool(getattr(segment.style, name)) for name in attributes] == [
        bool(getattr(left, name)) for name in attributes
    ]


async def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    async with driven() as it:
        assert not it.app.no_color


async def test_nothing_on_the_screen_has_a_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with driven() as it:
        styles = [segment.style for strip in it.app.screen._compositor.render_strips() for segment in strip]
        assert any(style and style.reverse for style in styles)
        assert not [style for style in styles if style and (style.color or style.bgcolor)]


async def test_a_theme_whose_file_changes_has_other_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with driven() as it:
        mark = Segment("x", Style(bgcolor="#123456"))
        for cursor, is_mark in ((None, False), ("#123456", True)):
            theme = it.app._themes[it.app.theme]
            if cursor:
                variables = {**theme.theme.variables, "cursor": cursor}
                it.app.use_theme_file(replace(theme, theme=replace(theme.theme, variables=variables)))
                it.app.mutate_reactive(App.theme)
                await it.settle()
            (line_filter,) = it.app.get_line_filters()
            (segment,) = line_filter.apply([mark], Color(0, 0, 0))
            assert segment.style is not None
            assert bool(segment.style.reverse) is is_mark
