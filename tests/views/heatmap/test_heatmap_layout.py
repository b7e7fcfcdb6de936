"""Every part has its place at any size, and the crosshair is always in sight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui.views.heatmap.layout import HeatmapLayout, Plan, View, arrange, look
from tracetui.views.heatmap.pyramid import pixels

plans = st.builds(Plan, st.integers(1, 300), st.integers(1, 300), st.integers(1, 40), st.integers(1, 40), st.booleans())
widths, heights = st.integers(10, 150), st.integers(4, 60)
zooms = st.none() | st.integers(-9, 7)


@given(widths, heights, plans, zooms)
def test_the_parts_fill_the_screen_and_leave_room_for_cells(
    width: int, height: int, plan: Plan, zoom: int | None
) -> None:
    layout = arrange(width, height, plan, zoom)
    assert layout.title + layout.axis + layout.lines + layout.legend + 1 == height
    assert layout.left + layout.room == width
    assert layout.lines >= 2
    assert layout.room >= 10


@given(widths, heights, plans)
def test_without_a_zoom_every_cell_is_in_sight(width: int, height: int, plan: Plan) -> None:
    layout = arrange(width, height, plan, None)
    view = look(layout, plan, (plan.rows - 1, plan.columns - 1), None)
    assert view.rows.cells == range(plan.rows)
    assert view.columns.cells == range(plan.columns)


@st.composite
def walks(draw: st.DrawFn) -> tuple[Plan, list[tuple[HeatmapLayout, tuple[int, int]]]]:
    plan = draw(plans)
    steps = draw(st.lists(st.tuples(widths, heights, zooms), min_size=1, max_size=6))
    cells = st.tuples(st.integers(0, plan.rows - 1), st.integers(0, plan.columns - 1))
    return plan, [(arrange(width, height, plan, zoom), draw(cells)) for width, height, zoom in steps]


@given(walks())
def test_the_crosshair_is_where_a_click_finds_it(
    walk: tuple[Plan, list[tuple[HeatmapLayout, tuple[int, int]]]],
) -> None:
    plan, steps = walk
    view: View | None = None
    for layout, cell in steps:
        view = look(layout, plan, cell, view)
        assert (view.rows.cursor, view.columns.cursor) == cell
        x, pixel = layout.left + view.columns.pixel(cell[1]), view.rows.pixel(cell[0])
        y = layout.top + pixel // 2
        found = view.cell_at(x, y)
        assert found is not None
        # A line has two rows of pixels, and a click on it means the upper one.
        assert found[0] // view.rows.step == cell[0] // view.rows.step - (pixel % 2)
        assert found[1] // view.columns.step == cell[1] // view.columns.step
        assert x < layout.width
        assert y < layout.top + layout.lines


def test_nothing_moves_while_the_crosshair_stays_in_sight() -> None:
    plan = Plan(100, 100, 3, 3)
    layout = arrange(40, 12, plan, 0)
    before = look(layout, plan, (50, 50), None)
    top, left = before.rows.start, before.columns.start
    assert look(layout, plan, (top, left), before).same_part(before)
    assert look(layout, plan, (top - 1, left), before).rows.start == top - 1


@pytest.mark.parametrize("zoom", [1, 2, -1])
def test_a_zoom_leaves_the_crosshair_where_it_was(zoom: int) -> None:
    plan = Plan(400, 400, 3, 3)
    flat, other = (arrange(80, 30, plan, level) for level in (0, zoom))
    before = look(flat, plan, (200, 200), look(flat, plan, (215, 225), None))
    after = look(other, plan, (200, 200), before)
    for old, new in ((before.rows, after.rows), (before.columns, after.columns)):
        assert abs(old.pixel(200) - new.pixel(200)) <= pixels(zoom)


@pytest.mark.parametrize(("x", "y"), [(0, 5), (39, 0), (20, 11)])
def test_a_click_beside_the_cells_finds_none(x: int, y: int) -> None:
    plan = Plan(100, 100, 5, 3)
    assert look(arrange(40, 12, plan, 0), plan, (0, 0), None).cell_at(x, y) is None


@pytest.mark.parametrize(("rows", "columns"), [(61, 256), (1, 500), (500, 8)])
def test_the_short_side_of_a_long_matrix_is_not_pooled(rows: int, columns: int) -> None:
    layout = arrange(120, 40, Plan(rows, columns, 3, 3), None)
    short = layout.row_zoom if rows < columns else layout.column_zoom
    assert layout.zoom < 0 <= short


@given(widths, heights, plans, st.integers(1, 6))
def test_enlarged_cells_are_square_in_the_end(width: int, height: int, plan: Plan, zoom: int) -> None:
    layout = arrange(width, height, plan, zoom)
    if layout.zoom >= 2:
        assert layout.row_zoom == layout.column_zoom == layout.zoom


def test_two_lines_of_labels_never_cost_a_zoom() -> None:
    for height in range(16, 60):
        short, long = (arrange(120, height, Plan(17, 17, 9, width, False), None) for width in (2, 12))
        assert short.zoom == long.zoom


def test_cells_one_line_high_are_wide_enough_for_a_text_where_there_is_room() -> None:
    wide, narrow = (arrange(width, 26, Plan(17, 17, 5, 3), None) for width in (100, 50))
    assert (wide.row_zoom, wide.column_zoom, wide.texts) == (1, 2, True)
    assert (narrow.row_zoom, narrow.column_zoom, narrow.texts) == (1, 1, False)


@pytest.mark.parametrize(("size", "rows", "columns"), [(17, 1, 1), (8, 2, 2)])
def test_a_small_matrix_grows_on_the_side_that_has_room(size: int, rows: int, columns: int) -> None:
    layout = arrange(44, 24, Plan(size, size, 6, 6), None)
    assert (layout.row_zoom, layout.column_zoom) == (rows, columns)
    assert size * pixels(layout.row_zoom) <= 2 * layout.lines
    assert size * pixels(layout.column_zoom) <= layout.room
