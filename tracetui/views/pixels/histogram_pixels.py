"""A histogram's bars in pixels: over the same cells of the terminal as its block characters, but each bin by itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from rich.color import Color, ColorType
from rich.style import Style

from tracetui.analysis.distribution.histogram import Histogram
from tracetui.views.charts.histogram import column_heights, column_signs
from tracetui.views.heatmap.ink import rgb
from tracetui.views.heatmap.pyramid import Codes
from tracetui.views.inks import Inks
from tracetui.views.pixels.protocol import PixelSize
from tracetui.views.pixels.sketch import CellArea, Sketch

GROUND, NEGATIVE, ZERO, POSITIVE = range(4)
"""Codes of the pixels: a sign and `ZERO` make that of its bars."""


def histogram_sketch(histogram: Histogram, area: CellArea, inks: Inks, ground: Style) -> Sketch | None:
    """The bars over their cells; None where no bin has a count, or where the terminal alone knows its colours."""
    shown = (ground.bgcolor, *(style.color for style in (inks.negative[-1], inks.zero, inks.positive[-1])))
    if area.width <= 0 or area.height <= 0 or not histogram.counts.any() or not _are_known(shown):
        return None
    colours = tuple(map(rgb, shown))
    return Sketch((histogram, area, colours), area, colours, partial(histogram_codes, histogram, area))


def histogram_codes(histogram: Histogram, area: CellArea, size: PixelSize) -> Codes:
    """[area.height · height, area.width · width]: a bar in each column, the largest as high as all of it."""
    width, height = area.width * size.width, area.height * size.height
    above_ground = np.arange(height, 0, -1)[:, None]  # [H,1]
    is_bar = above_ground <= column_heights(histogram, width, height)
    codes: Codes = np.where(is_bar, column_signs(histogram, width) + ZERO, GROUND).astype(np.uint8)
    return codes


def _are_known(colours: Sequence[Color | None]) -> bool:
    return all(colour is not None and colour.type is ColorType.TRUECOLOR for colour in colours)
