"""The table of numbers: exact size, true figures, indices of the matrix, flags for what is not finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.views.drawn import ANY_TEXT, INKS, plain, styles_at, widths
from tracetui.recording.value import Array
from tracetui.views.values import (
    NORM_CELLS,
    REAL_WIDTH,
    ValueWindow,
    capacity,
    figure,
    heads_of,
    norm_column,
    value_style,
    values_table,
)

DTYPES = st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int64, np.uint16, np.bool_])
MATRICES = hnp.arrays(DTYPES, st.tuples(st.integers(0, 8), st.integers(0, 8)))
LABELS = st.lists(ANY_TEXT, max_size=9)


@given(MATRICES, st.integers(0, 90), st.integers(0, 10), LABELS, LABELS, st.integers(0, 10**6))
def test_the_table_fills_exactly_its_place(
    numbers: Array, width: int, height: int, rows: list[str], columns: list[str], offset: int
) -> None:
    window = ValueWindow(numbers, offset, offset * 7, row_labels=rows, column_labels=columns)
    lines = values_table(window, width, height, INKS, cursor=(offset, offset * 7))
    assert len(lines) == height
    assert widths(lines) <= {width}


@given(st.floats().filter(lambda value: not 1e308 < abs(value) < math.inf), st.integers(9, 14))
def test_a_figure_has_four_digits_or_what_fits(value: float, width: int) -> None:
    shown = figure(value, width)
    assert len(shown) == width
    if math.isfinite(value) and value:
        assert float(shown) == pytest.approx(value, rel=0.06 if width < 11 else 6e-4)
    elif value == 0:
        assert shown.strip() in {"0", "-0"}
    else:
        assert shown.strip() == str(value)


@given(st.floats(width=32).filter(lambda value: math.isfinite(value) and value != 0))
def test_a_float32_always_shows_four_significant_digits(value: float) -> None:
    shown = figure(value, REAL_WIDTH).strip()
    digits = shown.split("e")[0].lstrip("-0.").replace(".", "")
    assert len(digits) == 4
    assert float(shown) == pytest.approx(value, rel=6e-4)


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_whole(value: int) -> None:
    numbers = np.array([[value, 0]])
    assert str(value) in plain(values_table(ValueWindow(numbers), 60, 2, INKS))[1].split()


def test_booleans_are_words() -> None:
    assert plain(values_table(ValueWindow(np.array([[True, False]])), 20, 2, INKS))[1].split() == ["0", "True", "False"]


def test_rows_and_columns_carry_the_indices_of_the_matrix() -> None:
    numbers = np.arange(12.0).reshape(3, 4)
    window = ValueWindow(numbers, 100, 2000, (4096, 4096), ["·the", "·cat", "日本"], scale=11)
    head, *rows = plain(values_table(window, 64, 4, INKS))
    assert head.split() == ["2000", "2001", "2002", "2003", "›"]
    assert [row.split()[:2] for row in rows] == [["100", "·the"], ["101", "·cat"], ["102", "日本"]]
    assert rows[2].split()[2:] == ["8.00", "9.00", "10.00", "11.00"]


def test_points_stand_in_line_and_no_number_is_shown_as_nothing() -> None:
    numbers = np.array([[0.12345, -0.07, 0.0], [0.00123, -0.00004, 1.2e-9]])
    rows = plain(values_table(ValueWindow(numbers), 40, 3, INKS))[1:]
    assert [row.split()[1:] for row in rows] == [["0.1235", "-0.0700", "0"], ["0.0012", "-4.0e-05", "1.20e-09"]]
    places = [[place for place, char in enumerate(row) if char == "."] for row in rows]
    assert places[0][0] == places[1][0]


@given(st.floats(1e-2, 1e4), st.floats(0, 1))
def test_a_number_of_a_column_is_rounded_by_less_than_a_twentieth(scale: float, share: float) -> None:
    numbers = np.array([[scale, -scale * share]])
    shown = plain(values_table(ValueWindow(numbers), 40, 2, INKS))[1].split()[1:]
    assert [float(number) for number in shown] == pytest.approx(numbers[0].tolist(), rel=0.051)


def test_no_arrow_points_beyond_the_last_column() -> None:
    assert "›" not in plain(values_table(ValueWindow(np.zeros((2, 2))), 40, 3, INKS))[0]


def test_column_labels_stand_above_their_columns_where_there_is_room() -> None:
    window = ValueWindow(np.zeros((3, 2)), column_labels=["·is", "日本"])
    tall = plain(values_table(window, 40, 5, INKS))
    assert tall[1].split() == ["·is", "日本"]
    assert plain(values_table(window, 40, 3, INKS))[1].split()[0] == "0"


def test_what_is_not_finite_is_flagged() -> None:
    lines = values_table(ValueWindow(np.array([[np.nan, np.inf, -np.inf]])), 50, 2, INKS)
    assert plain(lines)[1].split() == ["0", "nan", "inf", "-inf"]
    assert styles_at(lines[1], "nan") == {INKS.nan}
    assert styles_at(lines[1], "-inf") == {INKS.inf}


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e300))
def test_colour_follows_sign_and_grows_with_magnitude(value: float, scale: float) -> None:
    style = value_style(value, scale, INKS)
    if value == 0:
        assert style == INKS.zero
    else:
        ramp, other = (INKS.positive, INKS.negative) if value > 0 else (INKS.negative, INKS.positive)
        assert style in ramp
        assert value_style(-value, scale, INKS) == other[ramp.index(style)]
        assert ramp.index(value_style(value / 2, scale, INKS)) <= ramp.index(style) if value / 2 else True


def test_the_largest_number_of_the_window_gets_the_fullest_colour_without_a_scale() -> None:
    lines = values_table(ValueWindow(np.array([[0.001, -2.0]])), 40, 2, INKS)
    assert styles_at(lines[1], "-2.000") == {INKS.negative[-1]}
    assert styles_at(lines[1], "0.001000") == {INKS.positive[0]}


def test_the_cursor_is_on_its_cell_alone() -> None:
    lines = values_table(ValueWindow(np.eye(3), 7, 5), 60, 4, INKS, cursor=(8, 6))
    grounds = [[style.bgcolor for segment in line if (style := segment.style)] for line in lines]
    assert [INKS.cursor.bgcolor in row for row in grounds] == [False, False, True, False]


@given(st.integers(1, 120), st.integers(1, 20), DTYPES, st.tuples(st.integers(1, 500), st.integers(1, 500)))
def test_capacity_reads_all_that_is_shown(width: int, height: int, dtype: type, shape: tuple[int, int]) -> None:
    whole: Array = np.ones(shape, dtype)
    rows, columns = capacity(width, height, str(whole.dtype), shape)
    part = ValueWindow(whole[:rows, :columns], shape=shape)
    assert plain(values_table(part, width, height, INKS)) == plain(
        values_table(ValueWindow(whole), width, height, INKS)
    )


def test_an_outlier_of_the_window_leaves_the_others_their_colours() -> None:
    numbers = np.array([[0.9, -1.0, 0.8, 1.1, -0.7], [22550.0, 1.0, -1.1, 0.9, 1.0]])
    lines = values_table(ValueWindow(numbers), 70, 3, INKS)
    assert styles_at(lines[1], "-1.000") == {INKS.negative[-1]}
    assert styles_at(lines[2], "2.26e+04") == {INKS.positive[-1]}


@given(st.lists(st.floats(), max_size=9), st.integers(0, 2), st.integers(1, 9))
def test_norms_fill_exactly_their_place(norms: list[float], heads: int, height: int) -> None:
    lines = norm_column(np.array(norms), heads, height, INKS)
    assert len(lines) == height
    assert widths(lines) == {NORM_CELLS}
    assert widths(norm_column(None, heads, height, INKS)) == {NORM_CELLS}


def test_the_norm_of_a_row_stands_beside_it_and_one_far_out_is_marked() -> None:
    lines = norm_column(np.array([1.0, 50.0, 2.0, math.nan]), 1, 6, INKS)
    assert [line.split() for line in plain(lines)] == [["norm"], ["1.000"], ["50.00"], ["2.000"], ["nan"], []]
    assert [segment.style for line in lines[1:5] for segment in line if segment.text.strip()] == [
        INKS.quiet, INKS.mark, INKS.quiet, INKS.nan,
    ]  # fmt: skip
    window = ValueWindow(np.zeros((2, 2)), column_labels=("a", "b"))
    assert [heads_of(window, height) for height in (1, 2, 3, 4, 9)] == [0, 1, 1, 2, 2]


def test_rows_are_counted_as_the_positions_they_stand_for() -> None:
    window = ValueWindow(np.ones((1, 2)), 0, 0, (1, 2), ["·is"], first=(107, 0))
    assert plain(values_table(window, 40, 2, INKS))[1].split()[:2] == ["107", "·is"]
