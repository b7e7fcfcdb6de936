"""Pictures in pixels: each number at its place, in the legend's colours, whatever the protocol."""

from __future__ import annotations

import re
from base64 import standard_b64decode

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.views.pixels.decoding import Pixels, of_kitty, of_png, of_sixel
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.depth import Depth
from tracetui.views.heatmap.ink import OUTSIDE, Brush, Ground
from tracetui.views.heatmap.layout import Plan, View, arrange, look
from tracetui.views.heatmap.matrix import heatmap_data
from tracetui.views.heatmap.pyramid import NAN, Pyramid
from tracetui.views.heatmap.scale import ScaleKind
from tracetui.views.heatmap.wall import Tile, wall_layout
from tracetui.views.palette import PALETTES
from tracetui.views.pixels.encoding import encoded
from tracetui.views.pixels.map_pixels import map_codes, map_sketch, pooled_steps
from tracetui.views.pixels.png import palette_png
from tracetui.views.pixels.protocol import PixelSize, Protocol, placed
from tracetui.views.pixels.sixel import sixel
from tracetui.views.pixels.wall_pixels import wall_sketches

GROUND = Ground(0x101010, 0xEEEEEE, 0x222222)
COLOURS = tuple(range(0, 67 * 0x030201, 0x030201))


def shown(values: npt.NDArray[np.float32], size: tuple[int, int] = (100, 30)) -> tuple[Pyramid, View, Brush]:
    axes = (LabelledAxis.of(name, length) for name, length in zip(("query", "key"), values.shape, strict=True))
    data = heatmap_data(values, *axes)
    view = look(arrange(*size, data.plan, None), data.plan, (0, 0), None)
    pyramid = data.pyramids[ScaleKind.LINEAR]
    return pyramid, view, Brush(PALETTES[0], pyramid.scale, GROUND, Depth.TRUE)


def triangle(side: int) -> npt.NDArray[np.float32]:
    values = np.random.default_rng(0).random((side, side)).astype(np.float32)
    values[np.triu_indices(side, 1)] = -np.inf
    values[side // 2, 3] = np.nan
    return values


@pytest.mark.parametrize("side", [128, 333, 700])
@pytest.mark.parametrize("size", [PixelSize(8, 16), PixelSize(10, 21)])
def test_a_pixel_has_the_strongest_of_the_numbers_it_stands_for(side: int, size: PixelSize) -> None:
    pyramid, view, _ = shown(triangle(side))
    codes = map_codes(pyramid, view, size)
    rows, columns = pooled_steps(view, size)
    assert codes.shape == (view.drawn_lines * size.height, view.drawn_columns * size.width)
    assert rows < view.rows.step or view.rows.step == 1, "it shows more than half blocks do"
    blocks = pyramid.tile(range(side), rows, range(side), columns)
    inside = codes[:, : int(side / view.columns.step * view.columns.size * size.width)]
    found = np.unique(inside[inside != OUTSIDE])
    assert set(found.tolist()) == set(np.unique(blocks).tolist())
    # The diagonal is where it is, and so is the one NaN.
    y, x = (places.mean() for places in np.nonzero(codes == NAN))
    per_row, per_column = size.height / 2 / view.rows.step, size.width / view.columns.step
    assert abs(y / per_row - (side // 2 + 0.5)) <= rows
    assert abs(x / per_column - 3.5) <= columns


def test_where_each_number_has_a_half_block_there_is_no_picture() -> None:
    assert map_sketch(*shown(triangle(20))) is None
    sketch = map_sketch(*shown(triangle(128)))
    assert sketch is not None
    again = map_sketch(*shown(triangle(128)))
    assert again is not None
    assert again.shows != sketch.shows, "another matrix is another picture"


def test_a_moved_crosshair_is_the_same_picture() -> None:
    pyramid, view, brush = shown(triangle(300))
    moved = look(view.layout, Plan(300, 300, 0, 0), (7, 9), view)
    one, other = map_sketch(pyramid, view, brush), map_sketch(pyramid, moved, brush)
    assert one is not None
    assert other is not None
    assert one.shows == other.shows


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_sixels_and_pngs_come_back_as_they_were(height: int, width: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 67, (height, width)).astype(np.uint8)
    colours = np.array(COLOURS)
    assert (of_png(palette_png(codes, COLOURS)) == colours[codes]).all()
    assert_alike(of_sixel(sixel(codes, COLOURS)), colours[codes], most=1)


def assert_alike(one: Pixels, other: Pixels, most: int) -> None:
    """Whether no channel differs by more: sixels tell colours in whole percent."""
    assert one.shape == other.shape
    for shift in (16, 8, 0):
        assert np.abs((one >> shift & 255) - (other >> shift & 255)).max() <= most


def test_every_protocol_sends_the_legends_colours() -> None:
    pyramid, view, brush = shown(triangle(256))
    sketch = map_sketch(pyramid, view, brush)
    assert sketch is not None
    codes = sketch.paint(PixelSize(6, 12))
    truth = np.array(sketch.colours)[codes]
    cells = (sketch.area.width, sketch.area.height)
    sent = {protocol: encoded(protocol, codes, sketch.colours, cells, 77) for protocol in Protocol}
    pixels, place = of_kitty(sent[Protocol.KITTY] + placed(cells, 77))
    assert (pixels == truth).all()
    assert (place["c"], place["r"]) == tuple(map(str, cells))
    assert max(map(len, re.findall(r";([^\x1b]*)\x1b", sent[Protocol.KITTY]))) <= 4096
    assert (of_png(standard_b64decode(sent[Protocol.ITERM].rpartition(":")[2][:-1])) == truth).all()
    assert_alike(of_sixel(sent[Protocol.SIXEL]), truth, most=1)


def test_the_wall_of_heads_has_a_picture_for_each_row_of_tiles() -> None:
    rng = np.random.default_rng(0)
    tiles = [Tile(str(head), rng.integers(1, 65, (64, 64)).astype(np.uint8)) for head in range(5)] + [Tile("5", None)]
    layout = wall_layout(len(tiles), 60, 20, 0)
    _, _, brush = shown(triangle(20))
    sketches = wall_sketches(tiles, layout, 1, brush)
    assert len(sketches) == -(-len(tiles) // layout.columns)
    codes = sketches[0].paint(PixelSize(8, 16))
    area = sketches[0].area
    assert codes.shape == (area.height * 16, area.width * 8)
    tile = tiles[0].codes
    assert tile is not None
    first = codes[: layout.side * 8, : layout.side * 8]
    assert set(np.unique(first).tolist()) <= set(np.unique(tile).tolist())
    assert (codes[:, layout.side * 8 : (layout.side + 1) * 8] == OUTSIDE).all(), "a gap"
    assert all(later.area.y > area.y + area.height for later in sketches[1:]), "labels stand between them"
