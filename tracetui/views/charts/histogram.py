"""A histogram as block characters: bars by sign, and an axis that names the ends and zero."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from rich.style import Style

from tracetui.analysis.histogram import Histogram
from tracetui.text import number
from tracetui.views.cells import Line, blank, column, runs
from tracetui.views.inks import Inks

Floats = npt.NDArray[np.float64]


def histogram_lines(histogram: Histogram, width: int, height: int, inks: Inks, *, log: bool = False) -> list[Line]:
    """`height` lines of `width` cells; the last is the axis where there are two or more.

    With `log` a bar's height is the logarithm of its count. A count above nothing always shows.
    """
    if width <= 0 or height <= 0:
        return [[] for _ in range(max(height, 0))]
    if histogram.finite == 0:
        return _nothing(width, height, inks)
    rows = height if height == 1 else height - 1
    start, end = histogram.edges[0], histogram.edges[-1]
    parts = np.linspace(0.0, 1.0, width + 1)
    edges = start * (1 - parts) + end * parts  # [width + 1]
    eighths = bar_heights(per_column(histogram.counts, width), rows, log)
    styles = [_sign_style(low, high, inks) for low, high in pairwise(edges)]
    lines = [runs([column(count, row) for count in eighths], styles) for row in range(rows - 1, -1, -1)]
    return lines if height == 1 else [*lines, _axis(histogram, width, inks)]


def per_column(counts: npt.NDArray[np.int64], width: int) -> Floats:
    """Counts [bins] spread over `width` columns: summed where bins are narrower, repeated where they are wider."""
    bins = len(counts)
    if bins <= width:
        return counts[np.arange(width) * bins // width].astype(np.float64)
    total = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])  # [bins + 1]
    return np.diff(np.interp(np.linspace(0, bins, width + 1), np.arange(bins + 1), total))


def bar_heights(counts: Floats, rows: int, log: bool) -> list[int]:
    """Heights in eighths of a row: the largest count fills all rows, the smallest above nothing one eighth."""
    scaled = np.log1p(counts) if log else counts
    top = scaled.max(initial=0.0)
    if top == 0:
        return [0] * len(counts)
    eighths = np.rint(scaled / top * rows * 8).astype(int)
    return np.where(counts > 0, np.maximum(eighths, 1), 0).tolist()  # type: ignore[no-any-return]


def _sign_style(low: float, high: float, inks: Inks) -> Style:
    if low >= 0:
        return inks.positive[-1]
    return inks.negative[-1] if high <= 0 else inks.zero


def _axis(histogram: Histogram, width: int, inks: Inks) -> Line:
    """A rule with the lowest and highest value at its ends and a 0 where zero lies, each if it finds room."""
    chars, styles = ["─"] * width, [inks.rule] * width
    left, right = f"{number(histogram.low)} ", f" {number(histogram.high)}"
    if len(left) + len(right) <= width:
        _write(chars, styles, 0, left, inks.quiet)
        _write(chars, styles, width - len(right), right, inks.quiet)
    start, end = float(histogram.edges[0]), float(histogram.edges[-1])
    if start < 0 < end:
        zero = min(int(width / (1 - end / start)), width - 1)
        if all(char == "─" for char in chars[max(zero - 1, 0) : zero + 2]):
            _write(chars, styles, zero, "0", inks.text)
    return runs(chars, styles)


def _write(chars: list[str], styles: list[Style], start: int, text: str, style: Style) -> None:
    for at, char in enumerate(text, start):
        chars[at], styles[at] = char, style


def _nothing(width: int, height: int, inks: Inks) -> list[Line]:
    words = "no finite values"[:width].center(width)
    return [blank(width) for _ in range(height - 1)] + [runs(words, [inks.quiet] * width)]
