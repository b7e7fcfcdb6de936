"""Colours on a terminal that has only 256 of them."""

from __future__ import annotations

from functools import cache

from tracetui.views.palette import Lab, oklab

_CUBE = (0, 95, 135, 175, 215, 255)
_FIRST = 16
"""The colours before this one are the user's own."""
_LIGHTNESS = 2.0
"""How much more a wrong lightness counts than a wrong hue: lightness is what orders a palette."""


def nearest_index(colour: int) -> int:
    """The terminal's colour, 16 to 255, that looks most like 0xRRGGBB."""
    lightness, a, b = oklab(colour)
    distances = [_LIGHTNESS * (l2 - lightness) ** 2 + (a2 - a) ** 2 + (b2 - b) ** 2 for l2, a2, b2 in _terminal()]
    return _FIRST + distances.index(min(distances))


@cache
def _terminal() -> tuple[Lab, ...]:
    """What xterm and its like show for the colours 16 to 255."""
    cube = [red << 16 | green << 8 | blue for red in _CUBE for green in _CUBE for blue in _CUBE]
    greys = [level << 16 | level << 8 | level for level in range(8, 248, 10)]
    return tuple(oklab(colour) for colour in cube + greys)
