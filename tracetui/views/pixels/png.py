"""A PNG with a palette: exactly the colours it is given, and small."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from tracetui.views.heatmap.pyramid import Codes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE = 3
_FAST = 1


def palette_png(codes: Codes, colours: Sequence[int]) -> bytes:
    """The bytes of a PNG of codes [H,W]; colours: 0xRRGGBB of each code, 256 at most."""
    height, width = codes.shape
    rows = np.zeros((height, 1 + width), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = codes
    header = struct.pack(">IIBBBBB", width, height, 8, _PALETTE, 0, 0, 0)
    palette = b"".join(colour.to_bytes(3, "big") for colour in colours)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", palette),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), _FAST)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
