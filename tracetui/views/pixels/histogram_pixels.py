"""A histogram's bars in pixels: over the same cells of the terminal as its block characters, but each bin by itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from rich.color import Color, ColorType
from rich.style import Style

from tracetui.analysis.distribution.histogram import Histogram, HistogramScale
from tracetui.views.charts.histogram import column_heights
from tracetui.views.heatmap.ink import rgb
from tracetui.views.heatmap.pyramid import Codes
from tracetui.views.inks import Inks
from tracetui.views.pixels.protocol import PixelSize
from tracetui.views.pixels.sketch import CellArea, Sketch

GROUND, NEGATIVE, ZERO, POSITIVE = range(4)
"""Codes of the pixels."""


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
    codes: Codes = np.where(is_bar, _column_codes(histogram, width), GROUND).astype(np.uint8)
    return codes


def _are_known(colours: Sequence[Color | None]) -> bool:
    return all(colour is not None and colour.type is ColorType.TRUECOLOR for colour in colours)


def _column_codes(histogram: Histogram, width: int) -> npt.NDArray[np.intp]:
    """For each column the code of its bar [W]: on which side of zero all bins lie that it shows a part of."""
    first, last = _bins_of_columns(histogram, width)
    is_above, is_below = histogram.edges[first] >= 0, histogram.edges[last + 1] <= 0
    return np.where(is_above, POSITIVE, np.where(is_below, NEGATIVE, ZERO))


def _bins_of_columns(histogram: Histogram, width: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The first and the last bin that each column shows a part of."""
    bins, columns = len(histogram.counts), np.arange(width)
    if histogram.scale is HistogramScale.SYMLOG:
        places = histogram.positions(histogram.edges)
        first = np.searchsorted(places, columns / width, "right") - 1
        last = np.searchsorted(places, (columns + 1) / width, "left") - 1
        return first.clip(0, bins - 1), last.clip(0, bins - 1)
    first = columns * bins // width
    return first, first if bins <= width else ((columns + 1) * bins - 1) // width
