"""What a heatmap's cells are drawn with: a segment per pair of pixels, made once, in colours or in characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from tracetui.views.heatmap.depth import Depth
from tracetui.views.heatmap.indexed import nearest_index, outside, ramp, shown_colour
from tracetui.views.heatmap.pyramid import NAN
from tracetui.views.heatmap.scale import Scale
from tracetui.views.palette import LEVELS, Palette, contrasting, glyph

OUTSIDE = NAN + 1
"""The pixel lies beyond the matrix."""

MARKS = " ┌─┐│└┘[]◦▌"
"""What is written over a pixel, by its index; 0 for nothing."""
RING, HALF = MARKS.index("◦"), MARKS.index("▌")
"""A cell of one pixel under the crosshair; two pixels side by side instead of one upon the other."""

_MOST_SEGMENTS = 50_000
MASKED_GLYPH, _NAN_GLYPH = " ", "N"
_MASKED_APART, _NAN_APART = 0.04, 0.08
"""How far in OKLab the colours of cells without a number are at least from those of every number."""


def key(upper: int, lower: int, mark: int = 0) -> int:
    """What names the look of one character: the codes of its two pixels and what is written over them."""
    return mark << 16 | upper << 8 | lower


@dataclass(frozen=True, slots=True)
class Ground:
    """The theme's colours that cells are mixed with, as 0xRRGGBB."""

    back: int
    """Of the screen around the matrix."""
    text: int
    masked: int
    """For a palette that brings none of its own."""


class Brush:
    """Draws runs of pixels; for one palette, one scale and one ground. No mark changes the colour of a cell."""

    def __init__(
        self, palette: Palette, scale: Scale, ground: Ground, depth: Depth = Depth.TRUE, shades: int = LEVELS
    ) -> None:
        """shades: how many of the palette's levels the legend has room for; cells have no others."""
        self.depth = depth
        self.shades = shades
        self._glyphs = _glyphs(scale, shades)
        self._text = _style(rich_colour(ground.text), rich_colour(ground.back))
        self._colours = (_indexed if depth is Depth.INDEXED else _true)(palette, scale, ground, shades)
        self._looks: dict[int, tuple[str, Style]] = {}
        self._segments: dict[tuple[int, int], Segment] = {}

    @property
    def colours(self) -> tuple[int, ...]:
        """0xRRGGBB of every code, and of the outside."""
        return tuple(map(rgb, self._colours))

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
            self._looks[pair] = self._in_characters(pair) if self.depth is Depth.NONE else self._in_colours(pair)
        return self._looks[pair]

    def _in_colours(self, pair: int) -> tuple[str, Style]:
        mark, upper, lower = pair >> 16, self._colours[pair >> 8 & 255], self._colours[pair & 255]
        if mark == HALF and upper != lower:
            return MARKS[HALF], _style(upper, lower)
        if mark not in (0, HALF, RING):
            front = contrasting(rgb(upper))
            shown = Color.from_ansi(nearest_index(front)) if self.depth is Depth.INDEXED else rich_colour(front)
            return MARKS[mark], _style(shown, upper, bold=True)
        return (" ", _style(None, upper)) if upper == lower else ("▀", _style(upper, lower))

    def _in_characters(self, pair: int) -> tuple[str, Style]:
        mark, upper, lower = pair >> 16, pair >> 8 & 255, pair & 255
        if mark not in (0, HALF, RING):
            return MARKS[mark], self._text + Style(bold=True)
        visible = [code for code in (upper, lower) if code != OUTSIDE]
        text = self._glyphs[max(visible)] if visible else " "
        return text, self._text + Style(underline=True) if mark == RING else self._text


def _glyphs(scale: Scale, shades: int) -> list[str]:
    return [MASKED_GLYPH, *map(glyph, _drawn(scale, shades)), _NAN_GLYPH]


def shade_levels(shades: int) -> list[int]:
    """The levels that are drawn where there is room for so many: evenly apart, both ends among them."""
    return [round(shade * (LEVELS - 1) / (shades - 1)) for shade in range(shades)]


def _drawn(scale: Scale, shades: int) -> list[int]:
    """For the code of each number the level that is drawn for it."""
    levels = shade_levels(shades)
    return [levels[scale.level(code) * shades // LEVELS] for code in range(1, LEVELS + 1)]


def _true(palette: Palette, scale: Scale, ground: Ground, shades: int) -> list[Color]:
    """The colour of every code, and of the outside."""
    masked = ground.masked if palette.masked is None else palette.masked
    masked, nan = _without_number(masked, palette.nan, palette.levels)
    numbers = [palette.levels[level] for level in _drawn(scale, shades)]
    return [rich_colour(colour) for colour in (masked, *numbers, nan, ground.back)]


def _indexed(palette: Palette, scale: Scale, ground: Ground, shades: int) -> list[Color]:
    """The same out of the terminal's own 256, and never a worse match: rich's own turns dark ones teal and olive."""
    shown = ramp(palette)
    masked = ground.masked if palette.masked is None else palette.masked
    masked, nan = (shown_colour(nearest_index(colour)) for colour in (masked, palette.nan))
    masked, nan = _without_number(masked, nan, tuple(map(shown_colour, dict.fromkeys(shown))))
    numbers = [shown[level] for level in _drawn(scale, shades)]
    indices = [nearest_index(masked), *numbers, nearest_index(nan), nearest_index(ground.back)]
    return [Color.from_ansi(index) for index in indices]


def _without_number(masked: int, nan: int, numbers: tuple[int, ...]) -> tuple[int, int]:
    """The colours of masked cells and of NaN as they are, unless one could be taken for a number's."""
    nan = outside(nan, numbers, _NAN_APART)
    return outside(masked, (*numbers, nan), _MASKED_APART), nan


def _style(front: Color | None, back: Color, bold: bool | None = None) -> Style:
    return Style(color=front, bgcolor=back, bold=bold)


def rich_colour(colour: int) -> Color:
    """0xRRGGBB as rich knows it."""
    return Color.from_rgb(colour >> 16, colour >> 8 & 255, colour & 255)


def rgb(colour: Color | None) -> int:
    """A colour of rich's as 0xRRGGBB; the terminal's own counts as black."""
    if colour is None:
        return 0
    red, green, blue = colour.get_truecolor()
    return red << 16 | green << 8 | blue
