"""Palettes: 64 colours in perceptual order, made from a few anchors, and what is drawn where there is no number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

LEVELS = 64
"""Colours of a palette. More look the same and cost bytes on the line."""
RAMP = ".:-=+*#%@"
"""Stands for the levels where colours can't: the lowest is no blank, which is what takes no part."""

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
Lab = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours for numbers, each as 0xRRGGBB."""

    name: str
    levels: tuple[int, ...]
    """From the lowest number to the highest."""
    nan: int
    masked: int | None = None
    """None: whatever the screen's theme takes for it."""
    diverging: bool = False
    """Whether the middle level stands for zero."""

    @classmethod
    def from_anchors(
        cls, name: str, anchors: Sequence[str], nan: str, masked: str | None = None, diverging: bool = False
    ) -> Self:
        """A palette through evenly spaced anchors (`#rrggbb`), interpolated in OKLab.

        Raises ValueError: a colour that is none, fewer than two anchors, no middle anchor in a diverging one.
        """
        if len(anchors) < 2:
            raise ValueError(f"a palette needs at least 2 colours, got {len(anchors)}")
        if diverging and len(anchors) % 2 == 0:
            raise ValueError(f"a diverging palette needs a middle colour, got {len(anchors)} colours")
        labs = [oklab(parse_colour(anchor)) for anchor in anchors]
        levels = tuple(_from_oklab(_between(labs, _fraction(level, diverging))) for level in range(LEVELS))
        return cls(name, levels, parse_colour(nan), None if masked is None else parse_colour(masked), diverging)


def parse_colour(text: str) -> int:
    """`#rrggbb` as 0xRRGGBB. Raises ValueError."""
    if not _HEX.fullmatch(text):
        raise ValueError(f"a colour is written #rrggbb, got {text!r}")
    return int(text[1:], 16)


def channels(colour: int) -> tuple[int, int, int]:
    """0xRRGGBB as red, green, blue."""
    return colour >> 16, colour >> 8 & 255, colour & 255


def blend(colour: int, other: int, share: float) -> int:
    """`colour` with a share of `other` mixed in."""
    red, green, blue = (
        round(one + (two - one) * share) for one, two in zip(channels(colour), channels(other), strict=True)
    )
    return red << 16 | green << 8 | blue


def luminance(colour: int) -> float:
    """Relative luminance in [0, 1], as WCAG defines it."""
    red, green, blue = (_linear(channel) for channel in channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrasting(colour: int) -> int:
    """Black or white, whichever reads better on `colour`."""
    return 0x000000 if luminance(colour) > 0.18 else 0xFFFFFF


def glyph(level: int) -> str:
    """The character of the ramp for a level in [0, LEVELS)."""
    return RAMP[level * len(RAMP) // LEVELS]


def _fraction(level: int, diverging: bool) -> float:
    """Where a level lies between the first anchor and the last; the two beside zero are as far apart as any."""
    if not diverging:
        return level / (LEVELS - 1)
    half = LEVELS // 2
    return (level + 1) / LEVELS if level >= half else level / LEVELS


def _between(labs: Sequence[Lab], fraction: float) -> Lab:
    position = fraction * (len(labs) - 1)
    first = min(int(position), len(labs) - 2)
    (l1, a1, b1), (l2, a2, b2) = labs[first], labs[first + 1]
    share = position - first
    return l1 + (l2 - l1) * share, a1 + (a2 - a1) * share, b1 + (b2 - b1) * share


def oklab(colour: int) -> Lab:
    """Lightness, green to red and blue to yellow, in Björn Ottosson's space of even perceived steps."""
    red, green, blue = (_linear(channel) for channel in channels(colour))
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _from_oklab(lab: Lab) -> int:
    lightness, a, b = lab
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = _encoded(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short)
    green = _encoded(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short)
    blue = _encoded(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short)
    return red << 16 | green << 8 | blue


def _linear(channel: int) -> float:
    share = channel / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def _encoded(linear: float) -> int:
    share = min(max(linear, 0.0), 1.0)
    share = share * 12.92 if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055
    return round(share * 255)


PALETTES = (
    Palette.from_anchors("lagoon", ["#2b1148", "#33407f", "#20708e", "#1f9e86", "#6cc559", "#f2e52f"], nan="#ff3bd4"),
    Palette.from_anchors("ember", ["#08061a", "#3f1266", "#8c2673", "#dc4f5c", "#fb9a6a", "#fdf1bd"], nan="#25d9ff"),
    Palette.from_anchors("grey", ["#121212", "#f4f4f4"], nan="#ff4d4d"),
    Palette.from_anchors("ink", ["#f3efe4", "#b9c6d3", "#6d8fb5", "#2f5890", "#10254f"], nan="#ff5a1f"),
    Palette.from_anchors(
        "polar", ["#1d4fb8", "#78a6e6", "#ece9e6", "#e68a72", "#b0282e"], nan="#ffe600", diverging=True
    ),
    Palette.from_anchors(
        "night", ["#7fd0ff", "#2f7cc4", "#1c1d22", "#c4562f", "#ffbf7f"], nan="#ff3bd4", diverging=True
    ),
)
"""What ships beside the themes' own: light on dark, dark on light, and two around zero."""
