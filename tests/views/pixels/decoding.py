"""Pictures as a terminal would decode them: from the escape sequences back to the colours of pixels."""

from __future__ import annotations

import re
import struct
import zlib
from base64 import standard_b64decode

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.int64]
"""[H,W], 0xRRGGBB."""

_SIXEL = re.compile(r'\x1bP[\d;]*q"1;1;(\d+);(\d+)(.*?)\x1b\\', re.DOTALL)
_ITEM = re.compile(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|(\$)|(-)")
_KITTY = re.compile(r"\x1b_G([^;\x1b]*)(?:;([^\x1b]*))?\x1b\\")


def of_png(png: bytes) -> Pixels:
    """Of a PNG with a palette and no filters."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, dict[bytes, bytes]()
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + length
    width, height, depth, colour_type = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour_type) == (8, 3)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width)
    assert not rows[:, 0].any()
    palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3).astype(np.int64)
    colours: Pixels = palette @ np.array([1 << 16, 1 << 8, 1])
    return colours[rows[:, 1:]]


def of_sixel(text: str) -> Pixels:
    """Of the first sixel picture in a text."""
    found = _SIXEL.search(text)
    assert found
    width, height = int(found[1]), int(found[2])
    pixels = np.full((-(-height // 6) * 6, width), -1, np.int64)
    colours: dict[int, int] = {}
    colour = x = y = 0
    for item in _ITEM.finditer(found[3]):
        define, red, green, blue, use, count, repeated, char, back, down = item.groups()
        if define:
            red, green, blue = (round(int(share) * 255 / 100) for share in (red, green, blue))
            colours[int(define)] = red << 16 | green << 8 | blue
        elif use:
            colour = int(use)
        elif back or down:
            x, y = 0, y + 6 * bool(down)
        else:
            length, bits = int(count or 1), ord(repeated or char) - 63
            for row in range(6):
                if bits >> row & 1:
                    pixels[y + row, x : x + length] = colours[colour]
            x += length
    return pixels[:height]


def of_kitty(text: str) -> tuple[Pixels, dict[str, str]]:
    """Of the last picture in a text that was sent and placed: its pixels, and the keys of its placement."""
    data: dict[str, str] = {}
    place: dict[str, str] = {}
    number = ""
    for keys, payload in _KITTY.findall(text):
        known = dict(part.split("=") for part in keys.split(","))
        if known.get("a") == "t":
            number = known["i"]
            data[number] = ""
        if known.get("a") == "p":
            place = known
        elif "m" in known:
            data[number] += payload
    return of_png(standard_b64decode(data[place["i"]])), place
