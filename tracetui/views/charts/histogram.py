"""A histogram as block characters: bars by sign, and an axis that names the ends, zero, and what lies beyond."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.style import Style

from tracetui.analysis.distribution.histogram import Histogram, HistogramScale
from tracetui.text import count, number
from tracetui.views.cells import Line, blank, column, line, runs
from tracetui.views.inks import Inks

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.intp]

_WITH_TAILS = 4
"""Lines from which on one may say what lies beyond the axis, where the axis itself has no room for it."""
_LEAST_RULE = 5
"""Cells of the axis that its ends must leave."""
_DECADE_ROOM = 6
"""Cells for a power of ten."""


def histogram_lines(
    histogram: Histogram, width: int, height: int, inks: Inks, *, log: bool = False, told: str = ""
) -> list[Line]:
    """`height` lines of `width` cells; the last is the axis where there are two or more.

    With `log` a bar's height is the logarithm of its count. A count above nothing always shows. `told` stands at the
    axis' end: a scale that isn't the ordinary one.
    """
    if width <= 0 or height <= 0:
        return [[] for _ in range(max(height, 0))]
    if histogram.finite == 0:
        return _nothing(width, height, inks)
    below = _axis(histogram, width, inks, told, height >= _WITH_TAILS) if height > 1 else []
    rows = height - len(below)
    eighths = column_heights(histogram, width, rows * 8, log).tolist()
    of_sign = inks.zero, inks.positive[-1], inks.negative[-1]
    styles = [of_sign[sign] for sign in column_signs(histogram, width).tolist()]
    lines = [runs([column(count, row) for count in eighths], styles) for row in range(rows - 1, -1, -1)]
    return [*lines, *below]


def bar_rows(histogram: Histogram, width: int, height: int, told: str = "") -> int:
    """How many of the lines that `histogram_lines` makes are bars: the first ones, those above the axis."""
    if width <= 0 or height <= 0 or histogram.finite == 0:
        return 0
    return height if height == 1 else height - len(_axis(histogram, width, Inks(), told, height >= _WITH_TAILS))


def column_heights(histogram: Histogram, width: int, most: int, log: bool = False) -> Whole:
    """How high the bar in each of `width` columns is [width], of `most`."""
    return bar_heights(per_column(histogram.counts, width, _places(histogram)), most, log)


def _places(histogram: Histogram) -> Floats | None:
    """Where the edges of uneven bins lie, from 0 to 1; None for bins of one width."""
    return histogram.positions(histogram.edges) if histogram.scale is HistogramScale.SYMLOG else None


def per_column(counts: npt.NDArray[np.int64], width: int, places: Floats | None = None) -> Floats:
    """Counts [bins] spread over `width` columns: summed where bins are narrower, repeated where they are wider.

    places: of the edges [bins + 1] of uneven bins, from 0 to 1; the wider of these are shared out.
    """
    bins = len(counts)
    if places is None and bins <= width:
        return counts[np.arange(width) * bins // width].astype(np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1) if places is None else places
    total = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])  # [bins + 1]
    return np.diff(np.interp(np.linspace(0.0, 1.0, width + 1), edges, total))


def bar_heights(counts: Floats, most: int, log: bool = False) -> Whole:
    """Whole heights: the largest count gets `most`, the smallest above nothing 1."""
    scaled = np.log1p(counts) if log else counts
    top = scaled.max(initial=0.0)
    if top == 0:
        return np.zeros(len(counts), np.intp)
    heights: Whole = np.rint(scaled / top * most).astype(np.intp)
    return np.where(counts > 0, np.maximum(heights, 1), 0)


def column_signs(histogram: Histogram, width: int) -> Whole:
    """On which side of zero all bins lie that a column shows a part of [width]: -1, 1, or 0 for both."""
    first, last = _bins_of_columns(histogram, width)
    return np.where(histogram.edges[first] >= 0, 1, np.where(histogram.edges[last + 1] <= 0, -1, 0))


def _bins_of_columns(histogram: Histogram, width: int) -> tuple[Whole, Whole]:
    """The first and the last bin that each column shows a part of."""
    bins, columns = len(histogram.counts), np.arange(width)
    if histogram.scale is HistogramScale.SYMLOG:
        places = histogram.positions(histogram.edges)
        first = np.searchsorted(places, columns / width, "right") - 1
        last = np.searchsorted(places, (columns + 1) / width, "left") - 1
        return first.clip(0, bins - 1), last.clip(0, bins - 1)
    first = columns * bins // width
    return first, first if bins <= width else ((columns + 1) * bins - 1) // width


def _axis(histogram: Histogram, width: int, inks: Inks, told: str, with_tails: bool) -> list[Line]:
    """A rule with numbers at its ends; what lies beyond them on either side of it, or below if there is no room."""
    low = number(histogram.edges[0] if histogram.below else histogram.low)
    high = number(histogram.edges[-1] if histogram.above else histogram.high)
    below, above = _lot(histogram.below, "‹{}"), _lot(histogram.above, "{}›")
    far = _far(below, histogram.low), _far(above, histogram.high)
    if histogram.scale is HistogramScale.SYMLOG and len(list(_decades(histogram, width))) > 1:
        # On the side that reaches less far: the other's decades matter more.
        is_right = abs(histogram.low) > abs(histogram.high)
        return [_rule(histogram, () if is_right else (told,), (told,) if is_right else (), width, inks)]
    forms = [((far[0], low), (high, far[1], told)), ((below, low), (high, above, told)), ((below, low), (high, above))]
    if histogram.cut and with_tails and not _fits(*forms[0], width):
        tails = [(far[0], inks.quiet), (" " * (width - sum(map(cell_len, far))), inks.quiet), (far[1], inks.quiet)]
        return [_rule(histogram, (low,), (high, told), width, inks), line(tails, width)]
    left, right = next((form for form in forms if _fits(*form, width)), ((), ()))
    return [_rule(histogram, left, right, width, inks)]


def _lot(elements: int, form: str) -> str:
    """`‹3` or `2›`: how many lie beyond an end."""
    return form.format(elements if elements < 10_000 else count(elements)) if elements else ""


def _far(lot: str, end: float) -> str:
    """`2› to 22550`."""
    return f"{lot} to {number(end, 5)}" if lot else ""


def _ends(left: Sequence[str], right: Sequence[str]) -> tuple[str, str]:
    """What stands before and after the rule, a blank between each two words and before the rule."""
    before, after = " ".join(filter(None, left)), " ".join(filter(None, right))
    return f"{before} " if before else "", f" {after}" if after else ""


def _fits(left: Sequence[str], right: Sequence[str], width: int) -> bool:
    return sum(map(len, _ends(left, right))) + _LEAST_RULE <= width


def _rule(histogram: Histogram, left: Sequence[str], right: Sequence[str], width: int, inks: Inks) -> Line:
    """The axis itself, with zero and the decades on it as far as they find room beside the ends."""
    chars, styles = ["─"] * width, [inks.rule] * width
    before, after = _ends(left, right)
    if len(before) + len(after) <= width:
        _write(chars, styles, 0, before, inks.quiet)
        _write(chars, styles, width - len(after), after, inks.quiet)
    if histogram.edges[0] < 0 < histogram.edges[-1]:
        _mark(chars, styles, histogram, 0.0, inks.text)
    if histogram.scale is HistogramScale.SYMLOG:
        for decade in _decades(histogram, width):
            _mark(chars, styles, histogram, decade, inks.quiet)
    return runs(chars, styles)


def _decades(histogram: Histogram, width: int) -> Iterator[float]:
    """Powers of ten on both sides of zero, no more of them than have room."""
    first, last = _power(histogram.unit), _power(max(abs(histogram.low), abs(histogram.high)))
    ends = histogram.positions(np.array([0.1, 1.0]) * 10.0**last)
    cells = float(abs(ends[1] - ends[0])) * width
    for power in range(last, first - 1, -max(1, math.ceil(_DECADE_ROOM / max(cells, 0.1)))):
        yield from (sign * 10.0**power for sign in (-1, 1) if histogram.low <= sign * 10.0**power <= histogram.high)


def _power(size: float) -> int:
    return math.floor(math.log10(size))


def _mark(chars: list[str], styles: list[Style], histogram: Histogram, value: float, style: Style) -> None:
    """A number where it lies on the rule, unless another one stands there."""
    at, text = int(histogram.positions(np.array([value]))[0] * len(chars)), _short(value)
    start = min(at - (len(text) - 1) // 2, len(chars) - len(text))
    if start >= 1 and all(char == "─" for char in chars[start - 1 : start + len(text) + 1]):
        _write(chars, styles, start, text, style)


def _short(value: float) -> str:
    """`100`, `-1e4`, `0.01`."""
    return f"{value:g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def _write(chars: list[str], styles: list[Style], start: int, text: str, style: Style) -> None:
    for at, char in enumerate(text, start):
        chars[at], styles[at] = char, style


def _nothing(width: int, height: int, inks: Inks) -> list[Line]:
    words = "no finite values"[:width].center(width)
    return [blank(width) for _ in range(height - 1)] + [runs(words, [inks.quiet] * width)]
