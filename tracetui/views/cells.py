"""Lines of an exact width: text cut, padded and aligned by the cells it takes on a terminal."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tracetui.text import visible

Line = list[Segment]

_LONGEST = 400
_EIGHTHS_ACROSS = " ▏▎▍▌▋▊▉█"
_EIGHTHS_UP = " ▁▂▃▄▅▆▇█"


def fit(foreign: str, width: int, *, right: bool = False) -> str:
    """The text made visible and exactly `width` cells wide: cut with an `…`, or padded on its right or left."""
    if len(foreign) <= min(width, _LONGEST) and foreign.isascii() and foreign.isprintable():
        return foreign.rjust(width) if right else foreign.ljust(width)
    text = _standing(visible(foreign, _LONGEST))
    cells = cell_len(text)
    if cells > width:
        text = _prefix(text, width - 1) + "…" if width > 0 else ""
        cells = cell_len(text)
    blank = " " * (width - cells)
    return blank + text if right else text + blank


def fit_end(foreign: str, width: int) -> str:
    """The end of the text in at most `width` cells, an `…` for what is cut off before it: paths differ there."""
    text = visible(foreign, _LONGEST)
    if cell_len(text) <= width:
        return text
    first = next((at for at in range(len(text)) if cell_len(text[at:]) < width), len(text))
    return f"…{text[first:]}" if width > 0 else ""


def _standing(text: str) -> str:
    """A mark at the start gets a circle to stand on, or it would be drawn into the column before."""
    return f"◌{text}" if text and cell_len(text[0]) == 0 and unicodedata.category(text[0])[0] == "M" else text


def _prefix(text: str, width: int) -> str:
    """The longest start of the text that takes at most `width` cells."""
    return text[: bisect_right(range(1, len(text) + 1), width, key=lambda length: cell_len(text[:length]))]


def line(parts: Iterable[tuple[str, Style]], width: int) -> Line:
    """Segments that together take exactly `width` cells: the last ones are cut or blank cells added."""
    left = width
    segments: Line = []
    for text, style in parts:
        cells = len(text) if text.isascii() else cell_len(text)
        if cells > left:
            # Of blank cells none is missed: they need no ellipsis.
            text, cells = fit(text, left) if text.strip(" ") else " " * left, left
        if cells:
            segments.append(Segment(text, style))
        left -= cells
    if left:
        segments.append(Segment(" " * left))
    return segments


def runs(chars: Iterable[str], styles: Iterable[Style]) -> Line:
    """One segment for each run of single-cell characters in one style."""
    segments: list[tuple[list[str], Style]] = []
    for char, style in zip(chars, styles, strict=True):
        if segments and segments[-1][1] is style:
            segments[-1][0].append(char)
        else:
            segments.append(([char], style))
    return [Segment("".join(text), style) for text, style in segments]


def bar(fraction: float, width: int) -> str:
    """A horizontal bar in eighths of a cell, without the empty rest; anything above nothing shows."""
    if not fraction > 0 or width <= 0:
        return ""
    eighths = max(1, round(min(fraction, 1.0) * width * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS_ACROSS[rest] if rest else "")


def column(eighths: int, row: int) -> str:
    """The character of a vertical bar `eighths` high, in the row counted from the bottom."""
    return _EIGHTHS_UP[min(max(eighths - 8 * row, 0), 8)]


def blank(width: int) -> Line:
    return [Segment(" " * width)] if width > 0 else []
