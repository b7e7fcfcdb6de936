"""The wall of heads in pixels: a picture for each row of tiles, between the lines of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from tracetui.views.heatmap.ink import OUTSIDE, Brush
from tracetui.views.heatmap.pyramid import Codes
from tracetui.views.heatmap.wall import Tile, WallLayout, fitted
from tracetui.views.pixels.protocol import PixelSize
from tracetui.views.pixels.sketch import CellArea, Sketch


def wall_sketches(tiles: Sequence[Tile], layout: WallLayout, top: int, brush: Brush) -> list[Sketch]:
    """The rows of tiles in sight; `top` is the line of the first labels."""
    sketches = []
    for row in range(layout.rows):
        first = (layout.first + row) * layout.columns
        beside = tiles[first : min(first + layout.columns, len(tiles))]
        if not beside:
            break
        y = top + row * (layout.side // 2 + 1) + 1
        area = CellArea(0, y, len(beside) * (layout.side + 1) - 1, layout.side // 2)
        codes = tuple(tile.codes for tile in beside)
        shown = (area, brush, tuple(map(id, codes)))
        sketches.append(Sketch(shown, area, brush.colours, partial(_row_codes, codes, layout.side)))
    return sketches


def _row_codes(tiles: Sequence[Codes | None], side: int, size: PixelSize) -> Codes:
    """[side/2 · height, …]: tiles beside each other, a cell apart."""
    height, width = side // 2 * size.height, side * size.width
    apart = np.full((height, size.width), OUTSIDE, np.uint8)
    parts = [part for codes in tiles for part in (fitted(codes, height, width), apart)]
    return np.hstack(parts[:-1])
