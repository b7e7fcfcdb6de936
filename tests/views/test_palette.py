"""Palettes keep the order of numbers for every eye and every terminal."""

from __future__ import annotations

from itertools import pairwise

import pytest
from rich.color import Color, ColorSystem

from tracetui.views.palette import LEVELS, PALETTES, RAMP, Palette, blend, channels, contrasting, glyph, luminance

SEQUENTIAL = [palette for palette in PALETTES if not palette.diverging]
DIVERGING = [palette for palette in PALETTES if palette.diverging]


@pytest.mark.parametrize("palette", SEQUENTIAL, ids=lambda palette: palette.name)
def test_a_sequential_palette_only_ever_gets_lighter_or_only_darker(palette: Palette) -> None:
    light = [luminance(colour) for colour in palette.levels]
    steps = [after - before for before, after in pairwise(light)]
    assert all(step > 0 for step in steps) or all(step < 0 for step in steps)
    assert abs(light[-1] - light[0]) > 0.5


@pytest.mark.parametrize("palette", DIVERGING, ids=lambda palette: palette.name)
def test_a_diverging_palette_weighs_both_sides_of_zero_alike(palette: Palette) -> None:
    light = [luminance(colour) for colour in palette.levels]
    outwards = light[LEVELS // 2 :]
    steps = [after - before for before, after in pairwise(outwards)]
    assert all(step > 0 for step in steps) or all(step < 0 for step in steps)
    assert light == pytest.approx(light[::-1], abs=0.05)


@pytest.mark.parametrize("palette", PALETTES, ids=lambda palette: palette.name)
def test_every_level_and_the_nan_have_a_colour_of_their_own(palette: Palette) -> None:
    assert len({*palette.levels, palette.nan}) == LEVELS + 1


@pytest.mark.parametrize("palette", SEQUENTIAL, ids=lambda palette: palette.name)
def test_256_colours_keep_the_order(palette: Palette) -> None:
    light = [_on_256_colours(colour) for colour in palette.levels]
    sign = 1 if light[0] < light[-1] else -1
    assert min(sign * (after - before) for before, after in pairwise(light)) > -0.06
    assert len(set(light)) >= 10


def _on_256_colours(colour: int) -> float:
    red, green, blue = Color.from_rgb(*channels(colour)).downgrade(ColorSystem.EIGHT_BIT).get_truecolor()
    return luminance(red << 16 | green << 8 | blue)


def test_anchors_are_met_at_both_ends_and_in_the_middle() -> None:
    anchors = ["#102030", "#ffffff", "#ffa050"]
    palette = Palette.from_anchors("own", anchors, nan="#ff0000", masked="#123456")
    assert [palette.levels[0], palette.levels[-1]] == [0x102030, 0xFFA050]
    assert (palette.nan, palette.masked) == (0xFF0000, 0x123456)
    assert min(palette.levels[LEVELS // 2 - 1 : LEVELS // 2 + 1]) >= 0xE0E0E0


@pytest.mark.parametrize(
    ("anchors", "diverging", "problem"),
    [
        (["#000000"], False, "at least 2"),
        (["#000000", "#ffffff"], True, "middle"),
        (["#000", "#ffffff"], False, "#rrggbb"),
        (["black", "#ffffff"], False, "#rrggbb"),
        (["#ffffff\n", "#ffffff"], False, "#rrggbb"),
    ],
)
def test_wrong_anchors_are_named(anchors: list[str], diverging: bool, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Palette.from_anchors("own", anchors, nan="#ff0000", diverging=diverging)


def test_the_ramp_rises_with_the_level() -> None:
    glyphs = [glyph(level) for level in range(LEVELS)]
    assert "".join(dict.fromkeys(glyphs)) == RAMP
    assert [RAMP.index(char) for char in glyphs] == sorted(RAMP.index(char) for char in glyphs)


def test_blending_goes_from_one_colour_to_the_other() -> None:
    assert [blend(0x102030, 0xFF8040, share) for share in (0.0, 1.0)] == [0x102030, 0xFF8040]
    assert blend(0x000000, 0x0A141E, 0.5) == 0x050A0F


@pytest.mark.parametrize("palette", PALETTES, ids=lambda palette: palette.name)
def test_text_on_any_level_can_be_read(palette: Palette) -> None:
    for colour in (*palette.levels, palette.nan):
        lighter, darker = sorted((luminance(colour), luminance(contrasting(colour))), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5
