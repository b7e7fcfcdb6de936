"""The line over layers: exact size, every point in its place, gaps where a value is not finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.views.drawn import ANY_TEXT, INKS, plain, styles_of, widths
from tracetui.views.charts.braille import polyline
from tracetui.views.charts.lines import line_chart, relative

POINTS = st.lists(st.tuples(ANY_TEXT, st.floats()), max_size=40)
RISING = [(str(at), float(at)) for at in range(33)]


@given(POINTS, st.integers(0, 90), st.integers(0, 9), st.none() | st.integers(-1, 45), st.booleans())
def test_the_chart_fills_exactly_its_place(
    points: list[tuple[str, float]], width: int, height: int, current: int | None, log: bool
) -> None:
    lines = line_chart(points, width, height, INKS, current=current, log=log)
    assert len(lines) == height
    assert widths(lines) <= {width}


@pytest.mark.parametrize("count", [1, 2, 3, 33, 200])
@pytest.mark.parametrize("height", [1, 2, 3, 6])
@pytest.mark.parametrize("width", [1, 7, 60, 300])
def test_any_number_of_points_has_a_chart(count: int, height: int, width: int) -> None:
    points = [(str(at), math.sin(at)) for at in range(count)]
    lines = line_chart(points, width, height, INKS, current=count // 2)
    assert widths(lines) == {width}
    assert "".join(plain(lines)).strip()
    marks = [style for row in lines for style in styles_of(row)]
    assert INKS.mark in marks


@given(st.lists(st.floats(), min_size=1, max_size=30), st.booleans())
def test_heights_keep_the_order_of_the_values(values: list[float], log: bool) -> None:
    heights = relative(np.array(values), log)
    finite = [at for at, value in enumerate(values) if math.isfinite(value)]
    assert [at for at in range(len(values)) if not math.isnan(heights[at])] == finite
    for one in finite:
        assert 0 <= heights[one] <= 1
        for other in finite:
            assert values[one] > values[other] or heights[one] <= heights[other]


def test_equal_steps_of_a_logarithm_are_equal_heights() -> None:
    assert relative(np.array([1.0, 10.0, 100.0]), log=True).tolist() == pytest.approx([0, 0.5, 1])
    assert relative(np.array([0.0, 10.0, 100.0]), log=True).tolist() == pytest.approx([0, 0.1, 1])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(1, 20), st.integers(1, 5))
def test_a_polyline_is_whole_and_passes_its_points(shares: list[float], width: int, rows: int) -> None:
    xs = np.linspace(0, 2 * width - 1, len(shares))
    ys = np.array(shares) * (4 * rows - 1)
    dots = set_dots(polyline(xs, ys, width, rows))
    near = {(x + dx, y + dy) for x, y in dots for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
    assert {(round(x), round(y)) for x, y in zip(xs, ys, strict=True)} <= near
    assert {x for x, _ in dots} == set(range(2 * width))
    reached, todo = set(), [min(dots)]
    while todo:
        x, y = todo.pop()
        reached.add((x, y))
        around = {(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
        todo += (around & dots) - reached
    assert reached == dots


def set_dots(rows: list[list[str]]) -> set[tuple[int, int]]:
    """The dots of braille text, by the standard's numbering: 1-3 and 7 left, 4-6 and 8 right."""
    places = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
    dots = set()
    for y, row in enumerate(rows):
        for x, char in enumerate(row):
            code = 0 if char == " " else ord(char) - 0x2800
            dots |= {(2 * x + dx, 4 * y + dy) for bit, (dx, dy) in enumerate(places) if code >> bit & 1}
    return dots


def test_the_line_breaks_where_a_value_is_missing() -> None:
    ys = np.array([0.0, np.nan, 0.0])
    assert set_dots(polyline(np.array([0.0, 5.0, 9.0]), ys, 5, 1)) == {(0, 0), (9, 0)}


def test_scale_and_labels_name_what_is_shown() -> None:
    rows = plain(line_chart(RISING, 60, 6, INKS, current=8))
    assert rows[0].startswith("32 ┤")
    assert rows[4].startswith(" 0 ┤")
    assert rows[5].split() == ["0", "●", "8", "=", "8", "32"]
    assert "●" in rows[3]


def test_the_mark_stands_at_the_current_point() -> None:
    for current in (0, 16, 32):
        rows = plain(line_chart(RISING, 4 + 66, 6, INKS, current=current))[:-1]
        assert [row.index("●") - 4 for row in rows if "●" in row] == [round(current * 131 / 32) // 2]


def test_what_is_not_finite_is_a_cross() -> None:
    points = [("a", 1.0), ("b", math.nan), ("c", 2.0), ("d", math.inf)]
    lines = line_chart(points, 40, 5, INKS)
    assert plain(lines)[0].count("×") == 2
    assert styles_of(lines[0]).count(INKS.nan) == 2
    spark = line_chart(points, 40, 1, INKS)[0]
    assert plain([spark])[0].rstrip() == "▁×█×"


def test_a_spark_line_keeps_the_current_point_when_it_drops_others() -> None:
    spike = [(str(at), float(at == 77)) for at in range(200)]
    line = line_chart(spike, 20, 1, INKS, current=77)[0]
    assert plain([line])[0].count("█") == 1
    assert styles_of(line)[77 * 20 // 200] == INKS.mark


@pytest.mark.parametrize("height", [3, 5, 8])
@pytest.mark.parametrize("count", [1, 4])
def test_one_number_has_one_tick_beside_its_point(count: int, height: int) -> None:
    found = plain(line_chart([(str(at), 42.5) for at in range(count)], 60, height, INKS, current=0))
    ticks = [line for line in found if "┤" in line]
    assert len(ticks) == 1
    assert ticks[0].split()[0] == "42.5"
    assert "●" in ticks[0]


@pytest.mark.parametrize(("current", "ends"), [(0, ["last"]), (1, ["first", "last"]), (2, ["first"])])
def test_no_place_is_named_twice(current: int, ends: list[str]) -> None:
    points = [("first", 1.0), ("middle", 2.0), ("last", 3.0)]
    labels = plain(line_chart(points, 70, 6, INKS, current=current))[-1]
    assert labels.count(points[current][0]) == 1
    assert [name for name in ("first", "last") if name in labels and name != points[current][0]] == ends
