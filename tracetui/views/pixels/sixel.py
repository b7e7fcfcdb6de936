"""Sixels: six rows of pixels at a time, one colour after the other, as DEC's VT340 and many terminals of today draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tracetui.views.heatmap.pyramid import Codes

_BAND = 6
_FIRST = 0x3F
"""The character of six empty pixels."""
_REPEATED = 4
"""Equal characters from which on a count is shorter."""


_Span = tuple[int, int, int, str]
"""The columns from which on and up to which a colour is drawn, its code, and what is drawn."""


def sixel(codes: Codes, colours: Sequence[int]) -> str:
    """The escape sequence that draws codes [H,W] at the cursor; colours: 0xRRGGBB of each code, in whole percent."""
    height, width = codes.shape
    palette = "".join(f"#{code};2;{_percent(colours[code])}" for code in np.unique(codes).tolist())
    bands = "-".join(_band(codes[top : top + _BAND]) for top in range(0, height, _BAND))
    return f'\x1bP0;1q"1;1;{width};{height}{palette}{bands}\x1b\\'


def _percent(colour: int) -> str:
    return ";".join(str(round((colour >> shift & 255) * 100 / 255)) for shift in (16, 8, 0))


def _band(band: Codes) -> str:
    """Up to six rows: passes over each other, in each of them colours behind one another."""
    present = np.unique(band)
    sixels = np.zeros((len(present), band.shape[1]), np.uint8)  # [colours,W]
    columns = np.arange(band.shape[1])
    for row, places in enumerate(np.searchsorted(present, band)):
        sixels[places, columns] |= 1 << row
    left = sorted(_spans(present.tolist(), sixels), reverse=True)
    passes = []
    while left:
        at, later, parts = 0, list[_Span](), list[str]()
        while left:
            start, end, code, text = span = left.pop()
            if start < at:
                later.append(span)
                continue
            parts.append(f"#{code}{_run(0, start - at)}{text}")
            at = end
        passes.append("".join(parts))
        left = later[::-1]
    return "$".join(passes)


def _spans(present: Sequence[int], sixels: Codes) -> Iterator[_Span]:
    """Of each colour, from its first column to its last, what is drawn; repeated characters are counted."""
    starts = np.ones(sixels.shape, np.bool_)
    np.not_equal(sixels[:, 1:], sixels[:, :-1], out=starts[:, 1:])
    places = np.flatnonzero(starts)
    lengths = np.diff(places, append=sixels.size).tolist()
    values = sixels.reshape(-1)[places].tolist()
    width = sixels.shape[1]
    ends = np.searchsorted(places, np.arange(len(sixels) + 1) * width).tolist()
    for code, first, end in zip(present, ends[:-1], ends[1:], strict=True):
        skipped, last = int(values[first] == 0), end - int(values[end - 1] == 0)
        begin = lengths[first] if skipped else 0
        stop = width - (lengths[end - 1] if last < end else 0)
        text = "".join(map(_run, values[first + skipped : last], lengths[first + skipped : last]))
        yield begin, stop, code, text


def _run(value: int, length: int) -> str:
    char = chr(_FIRST + value)
    return f"!{length}{char}" if length >= _REPEATED else char * length
