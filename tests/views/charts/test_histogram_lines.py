"""The picture of a histogram: exact size, bars that add up, an axis that names what it shows."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.views.drawn import INKS, plain, styles_at, styles_of, widths
from tracetui.analysis.distribution.distribution import Distribution, distribution
from tracetui.analysis.distribution.histogram import Histogram, HistogramScale
from tracetui.recording.value import ArrayValue
from tracetui.views.charts.histogram import bar_heights, histogram_lines, per_column

HEIGHTS = " ▁▂▃▄▅▆▇█"
REALS = hnp.arrays(np.float64, st.integers(0, 30))
COUNTS = hnp.arrays(np.int64, st.integers(1, 200), elements=st.integers(0, 10**12))


LINEAR, SYMLOG, FULL = HistogramScale


def of(*numbers: float) -> Histogram:
    """Over the whole range."""
    histograms = distribution(ArrayValue(np.array(numbers))).histograms
    return histograms.get(FULL, histograms[LINEAR])


def massive(*far: float) -> Distribution:
    """A thousand numbers around zero, and those far off."""
    return distribution(ArrayValue(np.append(np.random.default_rng(0).standard_normal(1000), far)))


@given(REALS, st.integers(0, 70), st.integers(0, 6), st.booleans())
@example(np.array([-1.7e308, 0, 1.7e308]), 40, 3, False)
@example(np.append(np.linspace(-1, 1, 29), 22550), 25, 4, False)
def test_the_picture_fills_exactly_its_place(
    array: npt.NDArray[np.float64], width: int, height: int, log: bool
) -> None:
    for scale, histogram in distribution(ArrayValue(array)).histograms.items():
        lines = histogram_lines(histogram, width, height, INKS, log=log, told=scale)
        assert len(lines) == height
        assert widths(lines) <= {width}


@given(COUNTS, st.integers(1, 100))
def test_columns_hold_every_count_or_repeat_it(counts: npt.NDArray[np.int64], width: int) -> None:
    columns = per_column(counts, width)
    assert len(columns) == width
    if len(counts) >= width:
        assert np.isclose(columns.sum(), counts.sum())
    else:
        assert set(columns) == set(counts)


@given(COUNTS, st.integers(1, 8), st.booleans())
def test_bars_keep_the_order_of_the_counts(counts: npt.NDArray[np.int64], rows: int, log: bool) -> None:
    heights = bar_heights(counts.astype(np.float64), rows * 8, log).tolist()
    order = np.argsort(counts, kind="stable")
    assert sorted(heights) == [heights[at] for at in order]
    assert all((height > 0) == (count > 0) for height, count in zip(heights, counts, strict=True))
    assert max(heights) == (rows * 8 if counts.any() else 0)


def test_linear_bars_are_in_proportion_and_logarithms_lift_the_small_ones() -> None:
    counts = np.array([1000.0, 500.0, 10.0])
    assert bar_heights(counts, 16, log=False).tolist() == [16, 8, 1]
    assert bar_heights(counts, 16, log=True)[2] > 4


def test_rows_stack_to_the_bars() -> None:
    rows = plain(histogram_lines(of(0, 0, 0, 0, 1, 1, 2), 3, 3, INKS))[:2]
    stacked = [sum(HEIGHTS.index(row[at]) for row in rows) for at in range(3)]
    assert stacked == [16, 8, 4]


def test_the_axis_names_its_ends_and_zero() -> None:
    lines = histogram_lines(of(-2, -1, 0, 2), 40, 4, INKS)
    axis = plain(lines)[-1]
    assert axis.startswith("-2 ─")
    assert axis.endswith("─ 2")
    assert axis.index("0") == 20
    assert styles_at(lines[-1], "0") == {INKS.text}
    assert "0" not in plain(histogram_lines(of(1.5, 2.5), 40, 4, INKS))[-1].replace("2.5", "")


def test_bars_are_coloured_by_sign() -> None:
    styles = styles_of(histogram_lines(of(-2, -1, 1, 2), 5, 2, INKS)[0])
    assert styles == [INKS.negative[-1]] * 2 + [INKS.zero] + [INKS.positive[-1]] * 2


def test_whole_numbers_name_the_numbers_not_the_edges() -> None:
    experts = of(*range(8))
    assert plain(histogram_lines(experts, 30, 3, INKS))[-1].startswith("0 ─")
    assert plain(histogram_lines(experts, 30, 3, INKS))[-1].endswith("─ 7")


def test_zero_itself_is_never_shown_as_negative() -> None:
    styles = styles_of(histogram_lines(of(*range(8)), 40, 2, INKS)[0])
    assert styles == [INKS.zero] * 5 + [INKS.positive[-1]] * 35


def test_nothing_finite_is_said_in_words() -> None:
    assert "no finite values" in plain(histogram_lines(of(float("nan")), 30, 3, INKS))[-1]


def test_the_axis_says_how_many_lie_beyond_it_and_how_far() -> None:
    linear = massive(22550, 900, -300).histograms[LINEAR]
    axis = plain(histogram_lines(linear, 70, 3, INKS))[-1]
    assert axis.startswith("‹1 to -300 -")
    assert axis.endswith(" 2› to 22550")
    assert "─0─" in axis
    one_side = plain(histogram_lines(massive(22550).histograms[LINEAR], 70, 3, INKS))[-1]
    assert "‹" not in one_side
    assert one_side.endswith(" 1› to 22550")
    counted = plain(histogram_lines(linear, 24, 3, INKS))[-1]
    assert counted.startswith("‹1 ")
    assert counted.endswith(" 2›")


def test_tails_without_room_on_the_axis_get_a_line_where_there_is_one() -> None:
    lines = plain(histogram_lines(massive(22550, -300).histograms[LINEAR], 34, 4, INKS))
    assert "to" not in lines[-2]
    assert lines[-1].startswith("‹1 to -300 ")
    assert lines[-1].endswith(" 1› to 22550")


def test_decades_stand_where_they_lie() -> None:
    histogram = massive(22550).histograms[SYMLOG]
    axis = plain(histogram_lines(histogram, 80, 3, INKS, told="symlog"))[-1]
    assert axis.startswith("symlog ")
    at = [axis.index(text) for text in ("─0─", "─1─", "─10─", "─100─", "─1000─", "─10000")]
    assert at == sorted(at)
    assert axis.index("10000") + 2 == pytest.approx(80 * float(histogram.positions(np.array([1e4]))[0]), abs=1)
    assert "-0.1" in axis


@given(st.floats(1, 6), st.integers(12, 120))
@example(4.39, 35)
def test_every_number_on_the_axis_stands_where_it_lies(power: float, width: int) -> None:
    histogram = massive(10.0**power).histograms[SYMLOG]
    axis = plain(histogram_lines(histogram, width, 3, INKS, told="symlog"))[-1].replace("symlog", "──────")
    for word in re.finditer(r"[^─ ]+", axis):
        place = float(histogram.positions(np.array([float(word[0])]))[0]) * width
        assert word.start() - 1 <= place <= word.end() + 1


def test_the_bars_on_the_scale_by_decades_hold_every_count() -> None:
    histogram = massive(22550).histograms[SYMLOG]
    columns = per_column(histogram.counts, 30, histogram.positions(histogram.edges))
    assert columns.sum() == pytest.approx(histogram.finite)
    bars = "".join(plain(histogram_lines(histogram, 30, 2, INKS))[0])
    assert bars[-1] == "▁"
    assert bars[-4:-1] == "   "


def test_full_is_said_beside_an_axis_that_outliers_stretch() -> None:
    full = massive(22550).histograms[FULL]
    assert plain(histogram_lines(full, 40, 3, INKS, told="full"))[-1].endswith("─ 2.255e+04 full")
