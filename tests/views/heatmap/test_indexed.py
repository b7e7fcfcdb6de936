"""The nearest of 256 colours is the colour itself where there is one, and keeps greys grey."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color

from tracetui.views.heatmap.indexed import nearest_index
from tracetui.views.palette import channels, luminance


def shown(index: int) -> int:
    red, green, blue = Color.from_ansi(index).get_truecolor()
    return red << 16 | green << 8 | blue


@given(st.integers(16, 255))
def test_a_colour_of_the_terminal_is_itself(index: int) -> None:
    assert shown(nearest_index(shown(index))) == shown(index)


@given(st.integers(0, 255))
def test_a_grey_stays_a_grey(level: int) -> None:
    found = shown(nearest_index(level << 16 | level << 8 | level))
    assert len(set(channels(found))) == 1
    assert abs(channels(found)[0] - level) <= 10


@given(st.integers(0, 0xFFFFFF))
def test_the_lightness_is_about_right(colour: int) -> None:
    assert abs(luminance(shown(nearest_index(colour))) - luminance(colour)) < 0.15
