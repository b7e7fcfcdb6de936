"""What a heatmap draws: cells in their colours, labels as they are, lines of an exact width."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from tracetui.text import visible
from tracetui.views.cells import Line
from tracetui.views.heatmap.axes import LabelledAxis, MapStyle, tick_step
from tracetui.views.heatmap.depth import Depth
from tracetui.views.heatmap.ink import Brush, Ground, rich_colour
from tracetui.views.heatmap.layout import View, arrange, look
from tracetui.views.heatmap.matrix import EMPTY, HeatmapData, draw, heatmap_data, nothing, notice_lines
from tracetui.views.heatmap.pyramid import MASKED, NAN
from tracetui.views.heatmap.scale import ScaleKind
from tracetui.views.palette import LEVELS, PALETTES, Palette

LOOK = MapStyle(*(Style.parse(style) for style in ("on #101010", "#eeeeee", "#888888", "bold #ffaa00", "bold")))
GROUND = Ground(back=0x101010, text=0xEEEEEE, masked=0x222222)
LAGOON = PALETTES[0]
POLAR = next(palette for palette in PALETTES if palette.diverging)

labels = st.text(max_size=12).map(visible) | st.sampled_from(
    ["[/INST]", "日本語", "e\u0301\u0301", "👩🏽", "\u0301", "[bold]"]
)


def picture(
    data: HeatmapData,
    size: tuple[int, int] = (80, 24),
    cell: tuple[int, int] = (0, 0),
    zoom: int | None = None,
    palette: Palette = LAGOON,
    depth: Depth = Depth.TRUE,
    shades: int = LEVELS,
) -> tuple[View, list[Line]]:
    view = look(arrange(*size, data.plan, zoom), data.plan, cell, None)
    pyramid = next(iter(data.pyramids.values()))
    brush = Brush(palette, pyramid.scale, GROUND, depth, shades)
    return view, draw(data, pyramid, view, brush, palette.name, LOOK)


def texts(lines: list[Line]) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def square(values: npt.NDArray[np.floating], diverging: bool = False) -> HeatmapData:
    rows, columns = values.shape
    return heatmap_data(values, LabelledAxis.of("query", rows), LabelledAxis.of("key", columns), diverging=diverging)


def pixel_colours(view: View, lines: list[Line]) -> npt.NDArray[np.int64]:
    """What stands where the cells are: [2·lines, room], 0xRRGGBB."""
    layout = view.layout
    pixels_seen = []
    for line in lines[layout.top : layout.top + layout.lines]:
        chars = [(char, segment.style or Style()) for segment in line for char in segment.text]
        pixels_seen.append([_colour(style, char == "▀") for char, style in chars[-layout.room :]])
        pixels_seen.append([_colour(style, False) for _, style in chars[-layout.room :]])
    return np.array(pixels_seen)


def _colour(style: Style, front: bool) -> int:
    colour = style.color if front else style.bgcolor
    if colour is None:
        return -1
    red, green, blue = colour.get_truecolor()
    return red << 16 | green << 8 | blue


@st.composite
def drawings(draw_from: st.DrawFn) -> tuple[HeatmapData, tuple[int, int], tuple[int, int], int | None, Depth]:
    rows, columns = draw_from(st.integers(1, 40)), draw_from(st.integers(1, 40))
    down, across = (
        LabelledAxis.of(draw_from(labels), length, draw_from(st.lists(labels, min_size=length, max_size=length)))
        for length in (rows, columns)
    )
    values = np.random.default_rng(rows).normal(size=(rows, columns)).astype(np.float32)
    values[values > 1.5] = draw_from(st.sampled_from([-np.inf, np.nan, np.inf, 1.0]))
    data = heatmap_data(values, down, across, diverging=draw_from(st.booleans()), title=draw_from(labels))
    size = draw_from(st.integers(10, 130)), draw_from(st.integers(4, 45))
    cell = draw_from(st.integers(0, rows - 1)), draw_from(st.integers(0, columns - 1))
    return data, size, cell, draw_from(st.none() | st.integers(-4, 6)), draw_from(st.sampled_from(Depth))


@given(drawings())
def test_every_line_is_exactly_as_wide_as_the_screen(
    drawing: tuple[HeatmapData, tuple[int, int], tuple[int, int], int | None, Depth],
) -> None:
    data, size, cell, zoom, depth = drawing
    palette = POLAR if next(iter(data.pyramids.values())).scale.diverging else LAGOON
    _, lines = picture(data, size, cell, zoom, palette, depth)
    widths = [sum(segment.cell_length for segment in line) for line in lines]
    assert widths == [size[0]] * size[1]


@pytest.mark.parametrize(("side", "zoom"), list(itertools.product((1, 5, 16, 17), (None, -1, 0, 1, 2))))
def test_every_cell_has_the_colour_of_its_number_wherever_the_crosshair_is(side: int, zoom: int | None) -> None:
    values = np.random.default_rng(1).normal(size=(side, side)).astype(np.float32)
    data = square(values)
    pyramid = data.pyramids[ScaleKind.LINEAR]
    view, lines = picture(data, (100, 60), (side // 2, 0), zoom)
    size, step, width = view.rows.size, view.rows.step, view.columns.size
    seen = pixel_colours(view, lines)
    drawn_level = pyramid.levels[max(0, -view.layout.zoom)]
    for row, column in np.ndindex(drawn_level.shape):
        drawn = seen[row * size : (row + 1) * size, column * width : (column + 1) * width]
        assert (drawn == LAGOON.levels[pyramid.scale.level(int(drawn_level[row, column]))]).all(), (row, column, step)
    assert (seen[-(-side // step) * size + 3 :] == GROUND.back).all()


@pytest.mark.parametrize("shape", [(1, 300), (61, 256), (300, 3), (7, 1000)])
def test_a_long_matrix_shows_the_strongest_of_each_group(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    data = square(values)
    pyramid = data.pyramids[ScaleKind.LINEAR]
    view, lines = picture(data, (100, 40), (0, 0))
    seen, rows, columns = pixel_colours(view, lines), view.rows, view.columns
    assert rows.step != columns.step
    for row in range(rows.step, shape[0], rows.step):
        for column in range(columns.step, shape[1], columns.step):
            group = pyramid.levels[0][row : row + rows.step, column : column + columns.step]
            drawn = seen[rows.pixel(row), columns.pixel(column)]
            assert drawn == LAGOON.levels[pyramid.scale.level(int(group.max()))]


def test_the_crosshair_is_pointed_at_from_outside_and_frames_its_cell() -> None:
    view, lines = picture(square(np.zeros((9, 9), np.float32)), (80, 40), (4, 6), zoom=2)
    seen = pixel_colours(view, lines)
    size, left, top = view.rows.size, view.layout.left, view.layout.top
    assert (seen[: 9 * size, : 9 * size] == LAGOON.levels[0]).all()
    row = top + 4 * size // 2
    shown = texts(lines)
    assert "┌──┐" in shown[row]
    assert "└──┘" in shown[row + 1]
    assert shown[row + (size - 2) // 4].index("▸") == left - 2
    assert shown[row + (size - 2) // 4].index("◂") == left + 9 * size
    assert shown[top - 1].index("▾") == left + 6 * size
    assert left + 6 * size <= shown[top + 9 * size // 2].index("▴") < left + 7 * size


@pytest.mark.parametrize("column", [0, 1, 30, 59])
def test_a_column_one_cell_wide_is_pointed_at_where_it_is(column: int) -> None:
    names = [f"·token-{index}" for index in range(60)]
    data = heatmap_data(np.zeros((30, 60), np.float32), LabelledAxis.of("q", 30), LabelledAxis.of("k", 60, names))
    view, lines = picture(data, (90, 30), (3, column), zoom=0)
    shown, place = texts(lines), view.layout.left + column
    assert shown[view.layout.top - 1][place] == "▾"
    assert names[column] in shown[view.layout.top - 1]
    assert any(line[place] == "▴" for line in shown)


@given(drawings(), st.data())
def test_a_move_changes_nothing_but_what_depends_on_the_crosshair(
    drawing: tuple[HeatmapData, tuple[int, int], tuple[int, int], int | None, Depth], rest: st.DataObject
) -> None:
    data, size, cell, zoom, depth = drawing
    palette = POLAR if next(iter(data.pyramids.values())).scale.diverging else LAGOON
    before, lines = picture(data, size, cell, zoom, palette, depth)
    there = rest.draw(st.sampled_from(before.rows.cells)), rest.draw(st.sampled_from(before.columns.cells))
    after = look(before.layout, data.plan, there, before)
    assert before.same_part(after)
    pyramid = next(iter(data.pyramids.values()))
    moved = draw(data, pyramid, after, Brush(palette, pyramid.scale, GROUND, depth), palette.name, LOOK)
    covered = {
        (x, y)
        for left, top, width, height in before.crosshair() + after.crosshair()
        for x in range(left, left + width)
        for y in range(top, top + height)
    }
    for y, (one, other) in enumerate(zip(lines, moved, strict=True)):
        for x, (old, new) in enumerate(zip(_columns(one), _columns(other), strict=True)):
            assert old == new or (x, y) in covered


def _columns(line: Line) -> list[tuple[str, Style | None]]:
    """What stands in every column of the screen; a wide character stands in two."""
    return [(char, style) for text, style, _ in line for char in text for _ in range(cell_len(char))]


def test_labels_are_never_markup() -> None:
    names = ["[/INST]", "[@click=app.quit]x[/]", "[bold]"]
    data = heatmap_data(
        np.eye(3, dtype=np.float32), LabelledAxis.of("query", 3, names), LabelledAxis.of("key", 3, names)
    )
    _, lines = picture(data, (120, 40), (0, 1))
    shown = texts(lines)
    assert any("[/INST]" in line for line in shown)
    assert "query 0 “[/INST]” → key 1 “[@click=app.quit]x[/]”  0" in shown[-1]


@pytest.mark.parametrize("width", [10, 14, 20, 30, 44, 60, 100])
def test_the_caption_never_loses_the_number(width: int) -> None:
    names = ["·a rather long token"] * 9
    data = heatmap_data(
        np.full((9, 9), 0.125, np.float32), LabelledAxis.of("query", 9, names), LabelledAxis.of("key", 9, names)
    )
    _, lines = picture(data, (width, 12), (5, 3))
    caption = texts(lines)[-1]
    assert caption.rstrip().endswith("0.125")
    if width >= 14:
        assert "5" in caption.partition("→")[0]
        assert "3" in caption.partition("→")[2]


@pytest.mark.parametrize(
    ("value", "shown"), [(-np.inf, "masked"), (np.nan, "NaN"), (np.inf, "inf"), (0.1234, "0.1234"), (-2.0, "-2")]
)
def test_the_caption_says_what_is_no_number(value: float, shown: str) -> None:
    values = np.ones((3, 3), np.float32)
    values[1, 2] = value
    _, lines = picture(square(values), cell=(1, 2))
    assert texts(lines)[-1].rstrip() == f"query 1 → key 2  {shown}"


def test_the_legend_tells_the_ends_of_the_scale_and_what_else_is_there() -> None:
    values = np.array([[0.25, 1.5], [-np.inf, np.nan]], np.float32)
    legend = texts(picture(square(values), shades=32)[1])[-2]
    for part in ("0.25", "1.5", "linear", "masked", "NaN", LAGOON.name):
        assert part in legend
    plain = texts(picture(square(np.eye(2, dtype=np.float32)))[1])[-2]
    assert "masked" not in plain
    assert "NaN" not in plain


def test_the_legend_of_a_signed_matrix_has_zero_in_its_middle() -> None:
    legend = texts(picture(square(np.array([[-2.0, 1.0]]), diverging=True), palette=POLAR)[1])[-2]
    before, _, after = legend[: legend.index("linear")].partition("0")
    assert before.startswith("-2 ")
    assert after.rstrip().endswith(" 2")
    assert len(before) - len("-2 ") == len(after.rstrip()) - len(" 2")


def test_the_legend_says_when_a_pixel_is_many_cells() -> None:
    legend = texts(picture(square(np.zeros((300, 300), np.float32)))[1])[-2]
    assert "1 cell = max of 8 queries × 8 keys" in legend


def test_all_masked_shows_no_range() -> None:
    _, lines = picture(square(np.full((4, 4), -np.inf, np.float32)))
    assert texts(lines)[-2].split() == ["masked", "colours:", LAGOON.name]
    assert texts(lines)[-1].rstrip().endswith("masked")


def test_without_colours_every_kind_of_cell_has_a_character_of_its_own() -> None:
    values = np.array([[0.0, 1.0, -np.inf, np.nan], [0.5] * 4, [0.5] * 4], np.float32)
    view, lines = picture(square(values), cell=(1, 3), zoom=1, depth=Depth.NONE)
    left = view.layout.left
    width = view.columns.size
    assert texts(lines)[view.layout.top][left : left + 4 * width] == "".join(glyph * width for glyph in ".@ N")
    assert "blank: masked" in texts(lines)[-2]


def test_a_theme_decides_the_masked_colour_only_where_the_palette_does_not() -> None:
    scale = square(np.eye(2)).pyramids[ScaleKind.LINEAR].scale
    own = Palette.from_anchors("own", ["#000000", "#ffffff"], nan="#ff0000", masked="#123456")
    for palette, masked in ((LAGOON, GROUND.masked), (own, 0x123456)):
        brush = Brush(palette, scale, GROUND)
        assert brush.run(MASKED << 8 | MASKED, 1).style == Style(bgcolor=rich_colour(masked))
        assert brush.run(NAN << 8 | NAN, 1).style == Style(bgcolor=rich_colour(palette.nan))


def test_a_run_of_equal_pixels_is_one_segment_and_made_once() -> None:
    view, lines = picture(square(np.zeros((64, 64), np.float32)), (100, 40), (60, 60), zoom=0)
    line = lines[view.layout.top]
    assert (
        sum(
            segment.text.count(" ") for segment in line if segment.style == Style(bgcolor=rich_colour(LAGOON.levels[0]))
        )
        == 64
    )
    assert len([segment for segment in line if segment.style and segment.style.bgcolor]) <= 6


def test_ticks_are_round_numbers() -> None:
    assert [tick_step(least) for least in (1, 2, 3, 6, 11, 21, 51, 4096)] == [1, 2, 5, 10, 20, 50, 100, 5000]


def test_column_ticks_stand_over_their_columns() -> None:
    view, lines = picture(square(np.zeros((30, 60), np.float32)), (90, 30), (3, 33), zoom=0)
    axis, left = texts(lines)[view.layout.top - 1], view.layout.left
    for index in (0, 10, 20, 50):
        assert axis[left + index :].startswith(str(index))
    assert axis[left + 33 :].startswith("▾33")


def test_axes_must_have_the_lengths_of_the_matrix() -> None:
    with pytest.raises(ValueError, match="3 labels for 2"):
        LabelledAxis.of("key", 2, ["a", "b", "c"])
    with pytest.raises(ValueError, match="axes of 2 and 3"):
        heatmap_data(np.zeros((3, 3)), LabelledAxis.of("query", 2), LabelledAxis.of("key", 3))


def test_the_data_keeps_the_numbers_as_they_were() -> None:
    values = np.eye(3, dtype=np.float32)
    data = square(values)
    values[0, 0] = 7
    assert data.value(0, 0) == 1
    assert not data.values.flags.writeable


@given(labels, st.integers(10, 80), st.integers(4, 20))
def test_a_notice_fits_any_screen(notice: str, width: int, height: int) -> None:
    lines = notice_lines(f"{notice} {notice}", width, height, LOOK)
    assert [sum(segment.cell_length for segment in line) for line in lines] == [width] * height


def test_a_matrix_without_cells_is_a_notice() -> None:
    data = heatmap_data(np.zeros((0, 4)), LabelledAxis.of("query", 0), LabelledAxis.of("key", 4))
    assert data.empty
    assert EMPTY.empty
    assert "bloom" in "".join(texts(notice_lines(nothing("bloom keeps its own attention").notice, 40, 5, LOOK)))


def test_each_line_of_a_low_map_names_both_its_rows() -> None:
    data = heatmap_data(
        np.zeros((7, 9), np.float32), LabelledAxis.of("layer", 7, first=3), LabelledAxis.of("expert", 9)
    )
    view, lines = picture(data, (80, 7), (6, 0), zoom=0)
    told = [line[: view.layout.left].strip() for line in texts(lines)[view.layout.top : view.layout.top + 3]]
    assert told == ["3–4", "5–6", "7–8"]
