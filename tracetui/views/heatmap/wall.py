"""Many small matrices beside each other on one scale, each under its label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.segment import Segment

from tracetui.views.cells import Line, fit
from tracetui.views.heatmap.axes import POINTER, MapStyle
from tracetui.views.heatmap.ink import OUTSIDE, Brush
from tracetui.views.heatmap.legend import padded
from tracetui.views.heatmap.matrix import Keys, cell_lines
from tracetui.views.heatmap.pyramid import MASKED, Codes

SMALLEST, LARGEST = 8, 64
"""Pixels of a tile's side."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A matrix with its label; None for one that isn't known."""

    label: str
    codes: Codes | None


@dataclass(frozen=True, slots=True)
class WallLayout:
    """Tiles of one size in rows; of too many the rows around the cursor."""

    side: int
    columns: int
    rows: int
    """Those that have room."""
    first: int = 0
    """The first row in sight."""

    def tile_at(self, x: int, y: int, count: int) -> int | None:
        """The tile drawn at a column and a line, if one is."""
        column, row = x // (self.side + 1), y // (self.side // 2 + 1)
        index = (self.first + row) * self.columns + column
        return index if column < self.columns and row < self.rows and index < count else None


def wall_layout(count: int, width: int, height: int, cursor: int) -> WallLayout:
    """The largest tiles that all have room, or small ones in sight of the cursor."""
    for side in range(LARGEST, SMALLEST - 1, -2):
        columns, rows = (width + 1) // (side + 1), height // (side // 2 + 1)
        if columns * rows >= count:
            return WallLayout(side, min(columns, count), rows)
    columns, rows = max(1, (width + 1) // (SMALLEST + 1)), max(1, height // (SMALLEST // 2 + 1))
    return WallLayout(SMALLEST, columns, rows, max(0, cursor // columns - rows + 1))


def wall_lines(
    tiles: Sequence[Tile], cursor: int, layout: WallLayout, size: tuple[int, int], brush: Brush, look: MapStyle
) -> list[Line]:
    """`size` (width, height): every line exactly as wide. What marks the cursor's tile is its label."""
    width, height = size
    lines: list[Line] = []
    for row in range(layout.first, layout.first + layout.rows):
        places = range(row * layout.columns, min((row + 1) * layout.columns, len(tiles)))
        if not places:
            break
        lines.append(padded(_labels(tiles, places, cursor, layout.side, look), width, look))
        pixels = np.full((layout.side, len(places) * (layout.side + 1)), OUTSIDE, np.uint8)
        for at, place in enumerate(places):
            left = at * (layout.side + 1)
            pixels[:, left : left + layout.side] = fitted(tiles[place].codes, layout.side, layout.side)
        keys: Keys = pixels[0::2].astype(np.uint32)  # [lines,columns]
        keys <<= 8
        keys |= pixels[1::2]
        lines += [padded(line, width, look) for line in cell_lines(keys, brush)]
    return (lines + [padded([], width, look)] * height)[:height]


def _labels(tiles: Sequence[Tile], places: range, cursor: int, side: int, look: MapStyle) -> Line:
    line: Line = []
    for place in places:
        here = place == cursor
        text = f"{POINTER if here else ' '}{tiles[place].label}"
        line.append(Segment(fit(text, side) + " ", look.crosshair if here else look.label))
    return line


def fitted(codes: Codes | None, height: int, width: int) -> Codes:
    """The codes [height,width]: the strongest of several, or each several times."""
    if codes is None:
        return np.full((height, width), MASKED, np.uint8)
    for axis, side in enumerate((height, width)):
        starts = np.arange(side) * codes.shape[axis] // side
        pooled = codes.shape[axis] >= side
        codes = np.maximum.reduceat(codes, starts, axis=axis) if pooled else codes.take(starts, axis=axis)
    return codes
