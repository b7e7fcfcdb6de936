"""Under NO_COLOR attributes alone are sent: what a ground told is reversed, what was faint is dim."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

from tracetui.ui.theme.variables import READABLE, contrast

_MARKS = (
    *("cursor", "primary", "secondary", "accent", "warning", "error", "success"),
    *(
        "block-cursor-background",
        "input-cursor-background",
        "input-selection-background",
        "screen-selection-background",
    ),
    *("scrollbar", "scrollbar-hover", "scrollbar-active"),
)
"""Variables whose ground says where one is, or what matters."""
_NEAR = 24
"""How far a ground may be from one of these, over red, green and blue together: some are blended."""


class WithoutColours(LineFilter):
    """Takes the colours off; a theme's variables say which grounds are marks."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__()
        self._marks = tuple(Color.parse(variables[name].split()[0]) for name in _MARKS if name in variables)
        self._plain = lru_cache(1024)(self._without)

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text, style and self._plain(style, background), None) for text, style, _ in segments]

    def _without(self, style: Style, background: Color) -> Style:
        ground = _colour(style.bgcolor, background)
        is_mark = ground != background and any(_distance(ground, mark) <= _NEAR for mark in self._marks)
        is_faint = style.color is not None and contrast(_colour(style.color, background), ground) < READABLE
        return Style(
            bold=style.bold,
            dim=style.dim or (is_faint and not is_mark),
            italic=style.italic,
            underline=style.underline,
            strike=style.strike,
            reverse=is_mark != bool(style.reverse),
            meta=style.meta,
        )


def _colour(colour: RichColor | None, otherwise: Color) -> Color:
    """An opaque colour; the terminal's own default is `otherwise`."""
    return otherwise if colour is None or colour.is_default else Color.from_rich_color(colour)


def _distance(one: Color, other: Color) -> int:
    return sum(abs(a - b) for a, b in zip(one.rgb, other.rgb, strict=True))
