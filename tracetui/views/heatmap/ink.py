"""What a heatmap's cells are drawn with: a segment per pair of pixels, made once, in colours or in characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from tracetui.views.heatmap.indexed import nearest_index
from tracetui.views.heatmap.pyramid import MASKED, NAN, Scale
from tracetui.views.palette import LEVELS, Palette, blend, contrasting, glyph

HAIR = NAN + 1
"""Added to a code: the cell lies in the row or the column of the crosshair."""
OUTSIDE = 2 * HAIR
"""The pixel lies beyond the matrix."""

MARKS = " ┌─┐│└┘[]◦▌"
"""What is written over a pixel, by its index; 0 for nothing."""
RING, HALF = MARKS.index("◦"), MARKS.index("▌")
"""A cell of one pixel under the crosshair; two pixels side by side instead of one upon the other."""

_HAIR_SHARE = 0.12
_HAIR_SHARE_INDEXED = 0.35
_MOST_SEGMENTS = 50_000
_MASKED_GLYPH, _NAN_GLYPH = "/", "N"


def key(upper: int, lower: int, mark: int = 0) -> int:
    """What names the look of one character: the codes of its two pixels and what is written over them."""
    return mark << 16 | upper << 8 | lower


class Depth(Enum):
    """How many colours there are to draw with."""

    TRUE = "true"
    INDEXED = "indexed"
    """256."""
    NONE = "none"
    """Too few for a palette: characters stand for the levels."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The theme's colours that cells are mixed with, as 0xRRGGBB."""

    back: int
    """Of the screen around the matrix."""
    text: int
    masked: int
    """For a palette that brings none of its own."""


class Brush:
    """Draws runs of pixels; for one palette, one scale and one ground."""

    def __init__(self, palette: Palette, scale: Scale, ground: Ground, depth: Depth = Depth.TRUE) -> None:
        self._depth = depth
        self._glyphs = _glyphs(scale)
        self._text = _style(rich_colour(ground.text), rich_colour(ground.back))
        share = _HAIR_SHARE if depth is Depth.TRUE else _HAIR_SHARE_INDEXED
        self._colours = _colours(palette, scale, ground, share)
        self._known: dict[int, Color] = {}
        self._looks: dict[int, tuple[str, Style]] = {}
        self._segments: dict[tuple[int, int], Segment] = {}

    def run(self, pair: int, length: int) -> Segment:
        """`length` characters of the look that `key` named."""
        segment = self._segments.get((pair, length))
        if segment is None:
            if len(self._segments) >= _MOST_SEGMENTS:
                self._segments.clear()
            char, style = self._look(pair)
            segment = self._segments[pair, length] = Segment(char * length, style)
        return segment

    def line(self, pairs: Sequence[int], lengths: Sequence[int]) -> list[Segment]:
        """One line from its runs."""
        return [self.run(pair, length) for pair, length in zip(pairs, lengths, strict=True)]

    def _look(self, pair: int) -> tuple[str, Style]:
        """One style object a look, whatever the length: what turns styles into bytes then finds it at once."""
        if pair not in self._looks:
            self._looks[pair] = self._in_characters(pair) if self._depth is Depth.NONE else self._in_colours(pair)
        return self._looks[pair]

    def _in_colours(self, pair: int) -> tuple[str, Style]:
        mark, top, bottom = pair >> 16, self._colours[pair >> 8 & 255], self._colours[pair & 255]
        upper, lower = self._colour(top), self._colour(bottom)
        if mark == HALF and upper != lower:
            return MARKS[HALF], _style(upper, lower)
        if mark not in (0, HALF, RING):
            return MARKS[mark], _style(self._colour(contrasting(top)), upper, bold=True)
        return (" ", _style(None, upper)) if upper == lower else ("▀", _style(upper, lower))

    def _colour(self, colour: int) -> Color:
        """As the terminal can show it, and never a worse match than that: rich's own turns dark ones teal and olive."""
        if self._depth is Depth.TRUE:
            return rich_colour(colour)
        if colour not in self._known:
            self._known[colour] = Color.from_ansi(nearest_index(colour))
        return self._known[colour]

    def _in_characters(self, pair: int) -> tuple[str, Style]:
        mark, upper, lower = pair >> 16, pair >> 8 & 255, pair & 255
        if mark not in (0, HALF, RING):
            return MARKS[mark], self._text + Style(bold=True)
        visible = [code for code in (upper, lower) if code != OUTSIDE]
        text = self._glyphs[max(code % HAIR for code in visible)] if visible else " "
        crossed = any(code >= HAIR for code in visible)
        return text, self._text + Style(reverse=mark == RING, underline=crossed)


def _glyphs(scale: Scale) -> list[str]:
    return [_MASKED_GLYPH, *(glyph(scale.level(code)) for code in range(1, LEVELS + 1)), _NAN_GLYPH]


def _colours(palette: Palette, scale: Scale, ground: Ground, hair_share: float) -> list[int]:
    """The colour of every code, plain and in the crosshair, and of the outside."""
    plain = [0] * HAIR
    plain[MASKED] = ground.masked if palette.masked is None else palette.masked
    plain[NAN] = palette.nan
    for code in range(1, LEVELS + 1):
        plain[code] = palette.levels[scale.level(code)]
    # One direction for all numbers keeps their order; it leads away from the numbers that fill most matrices.
    away = contrasting(palette.levels[LEVELS // 2 if scale.diverging else 0])
    hair = [blend(colour, away, hair_share) for colour in plain]
    hair[NAN] = blend(plain[NAN], contrasting(plain[NAN]), hair_share)
    # Where nothing is to be read a tint would be read as something.
    hair[MASKED] = plain[MASKED]
    return [*plain, *hair, ground.back]


def _style(front: Color | None, back: Color, bold: bool | None = None) -> Style:
    return Style(color=front, bgcolor=back, bold=bold)


def rich_colour(colour: int) -> Color:
    """0xRRGGBB as rich knows it."""
    return Color.from_rgb(colour >> 16, colour >> 8 & 255, colour & 255)
