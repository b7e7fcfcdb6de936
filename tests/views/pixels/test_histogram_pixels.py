"""A histogram in pixels: bars as high as their counts, in the ink of the side of zero where they lie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rich.style import Style

from tracetui.analysis.distribution.distribution import distribution
from tracetui.analysis.distribution.histogram import Histogram, HistogramScale
from tracetui.recording.value import ArrayValue
from tracetui.views.charts.histogram import bar_rows, histogram_lines
from tracetui.views.inks import Inks
from tracetui.views.pixels.histogram_pixels import GROUND, NEGATIVE, POSITIVE, ZERO, histogram_codes, histogram_sketch
from tracetui.views.pixels.protocol import PixelSize
from tracetui.views.pixels.sketch import CellArea

LINEAR, SYMLOG, FULL = HistogramScale
SIZE = PixelSize(8, 16)
AREA = CellArea(1, 4, 40, 4)
INKS = Inks(
    positive=(Style(color="#111111"), Style(color="#ff8800")),
    negative=(Style(color="#222222"), Style(color="#0088ff")),
    zero=Style(color="#888888"),
)
BACK = Style(bgcolor="#101418")


def of(numbers: npt.ArrayLike, scale: HistogramScale = LINEAR) -> Histogram:
    return distribution(ArrayValue(np.asarray(numbers))).histograms[scale]


def bars(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """How high the bar in each column is; each stands on the ground without a gap."""
    heights: npt.NDArray[np.intp] = (codes != GROUND).sum(axis=0)
    from_below = codes[::-1]
    assert all((from_below[:height, column] != GROUND).all() for column, height in enumerate(heights.tolist()))
    return heights


@given(hnp.arrays(np.int64, st.integers(1, 128), elements=st.integers(0, 10**9)).filter(np.any))
def test_bars_are_as_high_as_their_counts(counts: npt.NDArray[np.int64]) -> None:
    histogram = Histogram(np.linspace(-1.0, 1.0, len(counts) + 1), counts, -1.0, 1.0)
    heights = bars(histogram_codes(histogram, AREA, SIZE))
    assert heights.shape == (AREA.width * SIZE.width,)
    most, bins = AREA.height * SIZE.height, len(counts)
    shares = counts / counts.max() * most
    for column, height in enumerate(heights.tolist()):
        # Every bin has columns of its own: there are more of these than of bins.
        share = shares[column * bins // len(heights)]
        assert abs(height - share) <= (0.5 if share >= 1 or share == 0 else 1)
        assert (height > 0) == (share > 0)
    assert heights.max() == most


def test_one_of_a_million_is_still_seen() -> None:
    histogram = of(np.append(np.zeros(1_000_000, np.int8), np.int8(9)))
    heights = bars(histogram_codes(histogram, AREA, SIZE))
    assert (heights[0], heights[160], heights[-1]) == (64, 0, 1)


@pytest.mark.parametrize("scale", [LINEAR, SYMLOG, FULL])
def test_bars_have_the_ink_of_their_side_of_zero(scale: HistogramScale) -> None:
    numbers = np.append(np.random.default_rng(0).standard_normal(1000), 900.0)
    histogram = of(numbers, scale)
    bottom = histogram_codes(histogram, AREA, SIZE)[-1].astype(int)
    shown = bottom[bottom != GROUND]
    assert sorted(shown.tolist()) == shown.tolist(), "below zero, around it, above it"
    assert {NEGATIVE, POSITIVE} <= set(shown.tolist()) or scale is FULL
    zero = float(histogram.positions(np.zeros(1))[0]) * len(bottom)
    wide = len(bottom) / len(histogram.counts) + 1
    assert (bottom[: int(zero - wide)] != POSITIVE).all()
    assert (bottom[int(zero + wide) + 1 :] != NEGATIVE).all()


def test_zero_itself_and_what_has_no_sign_are_never_shown_as_negative() -> None:
    experts = histogram_codes(of(np.arange(8)), AREA, SIZE)
    assert experts[-1, :40].tolist() == [ZERO] * 40
    assert experts[-1, 40:].tolist() == [POSITIVE] * 280
    shares = histogram_codes(of(np.linspace(0.0, 1.0, 100)), AREA, SIZE)
    assert set(np.unique(shares[-1]).tolist()) <= {GROUND, POSITIVE}


def test_the_picture_has_the_themes_inks_and_lies_over_the_bars_alone() -> None:
    histogram = of([-1.0, 0.0, 2.0])
    sketch = histogram_sketch(histogram, AREA, INKS, BACK)
    assert sketch is not None
    assert sketch.colours == (0x101418, 0x0088FF, 0x888888, 0xFF8800)
    assert sketch.paint(SIZE).shape == (64, 320)
    again, other = (histogram_sketch(each, AREA, INKS, BACK) for each in (histogram, of([-1.0, 0.0, 2.0])))
    assert again is not None
    assert other is not None
    assert again.shows == sketch.shows != other.shows
    wide = histogram_sketch(histogram, AREA, INKS, Style(bgcolor="#ffffff"))
    assert wide is not None
    assert wide.shows != sketch.shows, "another theme is another picture"


@pytest.mark.parametrize("height", range(1, 6))
def test_all_lines_above_the_axis_are_bars(height: int) -> None:
    numbers = np.append(np.random.default_rng(0).standard_normal(1000), (900.0, -300.0))
    for width in (24, 34, 70):
        rows = bar_rows(of(numbers), width, height)
        lines = histogram_lines(of(numbers), width, height, Inks())
        for y, line in enumerate(lines):
            text = "".join(segment.text for segment in line)
            assert (set(text) <= set(" ▁▂▃▄▅▆▇█")) == (y < rows)


def test_without_a_number_or_without_known_colours_there_is_no_picture() -> None:
    for odd in (np.nan, np.inf):
        histogram = of([odd])
        assert bar_rows(histogram, 40, 5) == 0
        assert histogram_sketch(histogram, AREA, INKS, BACK) is None
    histogram = of([1.0, 2.0])
    assert histogram_sketch(histogram, AREA, INKS, Style()) is None
    assert histogram_sketch(histogram, AREA, Inks(), BACK) is None
    assert histogram_sketch(histogram, AREA, INKS, Style(bgcolor="blue")) is None
    assert histogram_sketch(histogram, CellArea(1, 4, 40, 0), INKS, BACK) is None
