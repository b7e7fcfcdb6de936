"""A heatmap's cells in pixels: over the same cells of the terminal as its half blocks, but each number by itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracetui.views.heatmap.ink import OUTSIDE, Brush
from tracetui.views.heatmap.layout import MapWindow, View
from tracetui.views.heatmap.pyramid import Codes, Pyramid
from tracetui.views.pixels.protocol import PixelSize
from tracetui.views.pixels.sketch import CellArea, Sketch

Places = npt.NDArray[np.intp]


def map_sketch(pyramid: Pyramid, view: View, brush: Brush) -> Sketch | None:
    """The part of a matrix that is in sight; None where each number has a half block of its own."""
    layout, rows, columns = view.layout, view.rows, view.columns
    if rows.step == columns.step == 1:
        return None
    area = CellArea(layout.left, layout.top, view.drawn_columns, view.drawn_lines)
    shown = (pyramid, brush, area, rows.start, rows.zoom, columns.start, columns.zoom)
    return Sketch(shown, area, brush.colours, lambda size: map_codes(pyramid, view, size))


def pooled_steps(view: View, size: PixelSize) -> tuple[int, int]:
    """How many rows and columns of the matrix one pixel stands for."""
    return _step(view.rows, size.height / 2), _step(view.columns, size.width)


def map_codes(pyramid: Pyramid, view: View, size: PixelSize) -> Codes:
    """[H,W], the codes of the pixels of the cells in sight; the strongest number where several share a pixel."""
    rows, columns = view.rows, view.columns
    row_step, column_step = pooled_steps(view, size)
    tile = pyramid.tile(rows.cells, row_step, columns.cells, column_step)
    tile = np.pad(tile, ((0, 1), (0, 1)), constant_values=OUTSIDE)
    down = _places(rows, view.drawn_lines * size.height, size.height / 2, row_step, tile.shape[0] - 1)
    across = _places(columns, view.drawn_columns * size.width, size.width, column_step, tile.shape[1] - 1)
    codes: Codes = tile[down[:, None], across]
    return codes


def _step(window: MapWindow, pixels: float) -> int:
    """The smallest power of two of cells that has a pixel of its own; a group takes `window.size` times `pixels`."""
    step = 1
    while step < window.step and step * window.size * pixels < window.step:
        step *= 2
    return step


def _places(window: MapWindow, count: int, pixels: float, step: int, end: int) -> Places:
    """For each of `count` pixels the place in a tile pooled by `step`; `end` beyond the matrix."""
    of_pixel = window.step / (window.size * pixels)  # cells that a pixel covers
    cells = (np.arange(count) + 0.5) * of_pixel
    return np.minimum(cells / step, end).astype(np.intp)
