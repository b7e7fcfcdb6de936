"""Sixels: six rows of pixels at a time, one colour after the other, as DEC's VT340 and many terminals of today draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from tracetui.views.heatmap.pyramid import Codes

_BAND = 6
_FIRST = 0x3F
"""The character of six empty pixels."""
_REPEATED = 4
"""Equal characters from which on a count is shorter."""


def sixel(codes: Codes, colours: Sequence[int]) -> str:
    """The escape sequence that draws codes [H,W] at the cursor; colours: 0xRRGGBB of each code, in whole percent."""
    height, width = codes.shape
    palette = "".join(f"#{code};2;{_percent(colours[code])}" for code in np.unique(codes).tolist())
    bands = "-".join(_band(codes[top : top + _BAND]) for top in range(0, height, _BAND))
    return f'\x1bP0;1q"1;1;{width};{height}{palette}{bands}\x1b\\'


def _percent(colour: int) -> str:
    return ";".join(str(round((colour >> shift & 255) * 100 / 255)) for shift in (16, 8, 0))


def _band(band: Codes) -> str:
    """Up to six rows: of each colour in them where it stands, over each other."""
    present = np.unique(band)
    sixels = np.zeros((len(present), band.shape[1]), np.uint8)  # [colours,W]
    columns = np.arange(band.shape[1])
    for row, places in enumerate(np.searchsorted(present, band)):
        sixels[places, columns] |= 1 << row
    return "$".join(f"#{code}{runs}" for code, runs in zip(present.tolist(), _runs(sixels), strict=True))


def _runs(sixels: Codes) -> Iterator[str]:
    """Each row's characters, repeated ones counted; what is empty at its end is left out."""
    starts = np.ones(sixels.shape, np.bool_)
    np.not_equal(sixels[:, 1:], sixels[:, :-1], out=starts[:, 1:])
    places = np.flatnonzero(starts)
    lengths = np.diff(places, append=sixels.size).tolist()
    values = sixels.reshape(-1)[places].tolist()
    ends = np.searchsorted(places, np.arange(len(sixels) + 1) * sixels.shape[1]).tolist()
    for first, end in pairwise(ends):
        last = end - 1 if values[end - 1] == 0 else end
        yield "".join(map(_run, values[first:last], lengths[first:last]))


def _run(value: int, length: int) -> str:
    char = chr(_FIRST + value)
    return f"!{length}{char}" if length >= _REPEATED else char * length
