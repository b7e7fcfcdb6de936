"""What is left of a style without colours."""

from __future__ import annotations

import pytest
from rich.segment import Segment
from rich.style import Style
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
    monkeypatch.setenv("NO_COLOR", "1")
    async with driven() as it:
        styles = [segment.style for strip in it.app.screen._compositor.render_strips() for segment in strip]
        assert it.app.get_line_filters() == it.app._without_colours
        assert styles
