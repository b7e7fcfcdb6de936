"""Every theme's maps at every depth of colour: cells have the legend's, and no two kinds of cell share one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from rich.color import Color
from rich.style import Style
from textual.theme import BUILTIN_THEMES

from tracetui.ui.theme.file import default_heatmap
from tracetui.ui.theme.themes import load_themes
from tracetui.views.cells import Line
from tracetui.views.heatmap.axes import LabelledAxis, MapStyle
from tracetui.views.heatmap.depth import Depth
from tracetui.views.heatmap.indexed import ramp, shown_colour
from tracetui.views.heatmap.ink import Brush, Ground
from tracetui.views.heatmap.layout import View, arrange, look
from tracetui.views.heatmap.legend import shades_for
from tracetui.views.heatmap.matrix import draw, heatmap_data
from tracetui.views.heatmap.scale import ScaleKind
from tracetui.views.palette import LEVELS, PALETTES, Palette, oklab

LOOK = MapStyle(*(Style.parse(style) for style in ("on #101010", "#eeeeee", "#888888", "bold #ffaa00", "bold")))
THEMES = {name: file.heatmap for name, file in load_themes()[0].items()}
THEMES |= {name: default_heatmap(theme) for name, theme in BUILTIN_THEMES.items()}
OWN = [palette for name, colours in THEMES.items() for palette in colours.palettes(name)]
GROUNDS = (Ground(0x101010, 0xEEEEEE, 0x3D3D3D), Ground(0xFBF9F5, 0x232831, 0xDFDEDB))
SIDE = 24


def drawn(palette: Palette, ground: Ground, depth: Depth, width: int) -> tuple[View, list[Line]]:
    """Numbers over the whole scale, a masked one and a NaN, the crosshair in their midst."""
    values = np.linspace(-1 if palette.diverging else 0, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    values[3, 4], values[5, 6] = -np.inf, np.nan
    axes = LabelledAxis.of("query", SIDE), LabelledAxis.of("key", SIDE)
    data = heatmap_data(values, *axes, diverging=palette.diverging)
    view = look(arrange(width, 40, data.plan, 1), data.plan, (12, 0), None)
    pyramid = data.pyramids[ScaleKind.LINEAR]
    brush = Brush(palette, pyramid.scale, ground, depth, shades_for(width))
    return view, draw(data, pyramid, view, brush, palette.name, LOOK)


def looks(line: Line, start: int, stop: int) -> Iterator[tuple[str, Style]]:
    """What stands in some columns of a line."""
    yield from [(char, segment.style or Style()) for segment in line for char in segment.text][start:stop]


def rgb(colour: Color | None) -> int:
    assert colour is not None
    red, green, blue = colour.get_truecolor()
    return red << 16 | green << 8 | blue


def apart(one: int, other: int) -> float:
    return float(np.linalg.norm(np.subtract(oklab(one), oklab(other))))


def grounds(view: View, lines: list[Line]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The colour of every cell: [rows, columns], 0xRRGGBB."""
    layout, width = view.layout, view.columns.size
    cells = lines[layout.top : layout.top + SIDE * view.rows.size // 2 : max(1, view.rows.size // 2)]
    return np.array(
        [[rgb(style.bgcolor) for _, style in looks(line, layout.left, layout.left + SIDE * width)] for line in cells]
    )[:, ::width]


@pytest.mark.parametrize("depth", [Depth.TRUE, Depth.INDEXED])
@pytest.mark.parametrize("width", [60, 120])
def test_a_cell_has_a_colour_of_the_legend_and_one_without_a_number_has_none(depth: Depth, width: int) -> None:
    for palette in (*(OWN if width > 100 else OWN[::5]), *PALETTES):
        for ground in GROUNDS if palette.masked is None else GROUNDS[:1]:
            view, lines = drawn(palette, ground, depth, width)
            seen = grounds(view, lines)
            masked, nan = int(seen[3, 4]), int(seen[5, 6])
            seen[3, 4] = seen[5, 6] = seen[0, 0]
            bar = [(char, style) for char, style in looks(lines[-2], 0, width) if char in "▌ " and style.bgcolor]
            halves = [
                rgb(half)
                for char, style in bar
                for half in (style.color if char == "▌" else None, style.bgcolor)
                if half
            ]
            assert set(seen.ravel().tolist()) <= set(halves), palette.name
            numbers = set(seen.ravel().tolist())
            assert len(numbers) >= 10, palette.name
            assert min(apart(masked, number) for number in numbers) >= 0.03, palette.name
            assert min(apart(nan, number) for number in (*numbers, masked)) >= 0.03, palette.name


def test_neighbours_in_a_palette_differ() -> None:
    for palette in (*OWN, *PALETTES):
        assert all(one != other for one, other in pairwise(palette.levels)), palette.name


def test_a_ramp_of_256_colours_is_ordered_by_lightness_and_has_no_greys() -> None:
    for palette in (*OWN, *PALETTES):
        levels = ramp(palette)
        sides = [levels[LEVELS // 2 - 1 :: -1], levels[LEVELS // 2 :]] if palette.diverging else [levels]
        colours = [list(dict.fromkeys(side)) for side in sides]
        assert 12 <= sum(map(len, colours)) <= 16, palette.name
        assert len(set(levels)) == sum(map(len, colours)), palette.name
        for side in colours:
            labs = [oklab(shown_colour(index)) for index in side]
            rises = np.diff([lab[0] for lab in labs])
            assert (rises > 0).all() or (rises < 0).all(), palette.name
            assert min(apart(shown_colour(one), shown_colour(other)) for one, other in pairwise(side)) > 0.03
            assert palette.name == "grey" or min(np.hypot(lab[1], lab[2]) for lab in labs) > 0.02, palette.name


@pytest.mark.parametrize("diverging", [False, True])
def test_in_characters_the_lowest_number_is_seen_and_what_is_masked_is_quiet(diverging: bool) -> None:
    palette = next(palette for palette in PALETTES if palette.diverging is diverging)
    view, lines = drawn(palette, GROUNDS[0], Depth.NONE, 120)
    layout, width = view.layout, view.columns.size
    rows = lines[layout.top : layout.top + SIDE * view.rows.size // 2 : max(1, view.rows.size // 2)]
    chars = [[char for char, _ in looks(line, layout.left, layout.left + SIDE * width)][::width] for line in rows]
    assert (chars[3][4], chars[5][6]) == (" ", "N")
    numbers = {
        char
        for row, line in enumerate(chars)
        for column, char in enumerate(line)
        if (row, column) not in ((3, 4), (5, 6), (12, 0))
    }
    assert numbers == set(".:-=+*#%@")
    styles = {style for line in rows for _, style in looks(line, layout.left, layout.left + SIDE * width)}
    assert len({(style.color, style.bgcolor, style.reverse) for style in styles}) == 1, "no mark changes a colour"
