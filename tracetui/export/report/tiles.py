"""Small pictures within the report: PNG files of a palette, as data addresses."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracetui.export.picture import peaks
from tracetui.export.report.markup import Html
from tracetui.recording.value import Array
from tracetui.views.heatmap.attention_scales import probability_scales
from tracetui.views.heatmap.scale import Scale
from tracetui.views.palette import Palette, channels

SIDE = 96
"""Rows and columns of a head's picture at most."""
THUMB = 24
"""The same of one that stands among all others."""
_LEVELS = 64
_MASKED, _NAN, _GAP = 64, 65, 66
_INK = Palette.from_anchors("ink", ("#ffffff", "#c3d0f7", "#6f8be8", "#2f3fa8", "#120b3d"), "#d81b60")
"""On white; a dark page inverts it, hues turned back."""
_GREY = 0xE3E5EA
SHARES = next(iter(probability_scales().values()))
"""The scale of probabilities, as the screen and pictures have it."""


Codes = npt.NDArray[np.uint8]
"""Places in the palette: [rows, columns]."""


def shares_png(values: Array, side: int = SIDE, scale: Scale = SHARES) -> Html:
    """A matrix of numbers from 0 up as an address, -inf masked."""
    return _png(_codes(values, side, scale))


def thumb(values: Array) -> Codes:
    """The same as a square of THUMB cells, for `sheet_png`."""
    codes = _codes(values, THUMB, SHARES)
    down, across = (np.arange(THUMB) * length // THUMB for length in codes.shape)
    square: Codes = codes[down[:, None], across]
    return square


def sheet_png(rows: Sequence[Sequence[Codes]]) -> Html:
    """Rows of thumbs as one picture, a clear line between any two; a row may be shorter than others."""
    columns = max(map(len, rows), default=0)
    sheet = np.full((len(rows) * (THUMB + 1), columns * (THUMB + 1)), _GAP, np.uint8)
    for down, thumbs in enumerate(rows):
        for across, codes in enumerate(thumbs):
            top, left = down * (THUMB + 1), across * (THUMB + 1)
            sheet[top : top + THUMB, left : left + THUMB] = codes
    return _png(sheet)


def _codes(values: Array, side: int, scale: Scale) -> Codes:
    shown, _ = peaks(np.asarray(values, np.float32), side)
    level = scale.positions(shown) * (_LEVELS - 1)  # [rows, columns]
    codes = np.where(np.isfinite(shown), np.rint(np.nan_to_num(level)), _MASKED)
    return np.where(np.isnan(shown), _NAN, codes).astype(np.uint8)


def legend_png() -> Html:
    return _png(np.arange(_LEVELS, dtype=np.uint8)[None])


def masked_png() -> Html:
    return _png(np.full((1, 1), _MASKED, np.uint8))


def _png(codes: Codes) -> Html:
    """https://www.w3.org/TR/png-3/: eight-bit indices into a palette."""
    height, width = codes.shape
    rows = np.concatenate((np.zeros((height, 1), np.uint8), codes), axis=1).tobytes()
    palette = b"".join(bytes(channels(colour)) for colour in (*_INK.levels, _GREY, _INK.nan, _GREY))
    opaque = b"\xff" * _GAP + b"\0"  # the gaps alone show what is behind
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"PLTE", palette), (b"tRNS", opaque), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    document = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)
    return Html(f"data:image/png;base64,{b64encode(document).decode('ascii')}")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
