"""The picture of a histogram: exact size, bars that add up, an axis that names what it shows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.views.drawn import INKS, plain, styles_at, styles_of, widths
from tracetui.analysis.histogram import Histogram, histogram
from tracetui.recording.value import ArrayValue
from tracetui.views.charts.histogram import bar_heights, histogram_lines, per_column

HEIGHTS = " ▁▂▃▄▅▆▇█"
REALS = hnp.arrays(np.float64, st.integers(0, 30))
COUNTS = hnp.arrays(np.int64, st.integers(1, 200), elements=st.integers(0, 10**12))


def of(*numbers: float) -> Histogram:
    return histogram(ArrayValue(np.array(numbers)))


@given(REALS, st.integers(0, 70), st.integers(0, 6), st.booleans())
@example(np.array([-1.7e308, 0, 1.7e308]), 40, 3, False)
def test_the_picture_fills_exactly_its_place(
    array: npt.NDArray[np.float64], width: int, height: int, log: bool
) -> None:
    lines = histogram_lines(histogram(ArrayValue(array)), width, height, INKS, log=log)
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
    heights = bar_heights(counts.astype(np.float64), rows, log)
    order = np.argsort(counts, kind="stable")
    assert sorted(heights) == [heights[at] for at in order]
    assert all((height > 0) == (count > 0) for height, count in zip(heights, counts, strict=True))
    assert max(heights) == (rows * 8 if counts.any() else 0)


def test_linear_bars_are_in_proportion_and_logarithms_lift_the_small_ones() -> None:
    counts = np.array([1000.0, 500.0, 10.0])
    assert bar_heights(counts, 2, log=False) == [16, 8, 1]
    assert bar_heights(counts, 2, log=True)[2] > 4


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
    experts = histogram(ArrayValue(np.arange(8)))
    assert plain(histogram_lines(experts, 30, 3, INKS))[-1].startswith("0 ─")
    assert plain(histogram_lines(experts, 30, 3, INKS))[-1].endswith("─ 7")


def test_nothing_finite_is_said_in_words() -> None:
    assert "no finite values" in plain(histogram_lines(of(float("nan")), 30, 3, INKS))[-1]
