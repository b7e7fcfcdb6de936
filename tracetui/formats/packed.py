"""Deflated members: unpacked block by block, and never to more than they say."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracetui.formats.npy import NpyError

MOST_EXPANDED = 1032
"""Bytes that deflate can make of one. https://zlib.net/zlib_tech.html"""
_BLOCK = 1 << 20
_RAW = -15


@dataclass(frozen=True, slots=True)
class Packed:
    """A deflated member's content, as its zip headers have it."""

    stored: int
    """Bytes in the zip file."""
    size: int
    """Bytes unpacked, those of the npy header among them."""
    crc: int
    head: int = 0
    """Bytes of the npy header."""


def unpacked(read: Callable[[int, int], bytes], offset: int, packed: Packed, block: int = _BLOCK) -> Iterator[bytes]:
    """The content of the member at an offset, in blocks. Raises NpyError if it is damaged.

    read: bytes of the file, from an offset and of a length.
    """
    inflater, crc, left = zlib.decompressobj(_RAW), 0, packed.size
    end, waiting = offset + packed.stored, b""
    try:
        while left > 0:
            if not waiting and offset < end:
                waiting = read(offset, min(block, end - offset))
                offset += len(waiting)
            part = inflater.decompress(waiting, min(left, block))
            if not part and (inflater.eof or not (waiting or inflater.unconsumed_tail)):
                break
            waiting, crc, left = inflater.unconsumed_tail, zlib.crc32(part, crc), left - len(part)
            yield part
        # The mark of the end takes a few bytes; whoever has more behind the content wants something else.
        rest = inflater.decompress(waiting + read(offset, min(_BLOCK, end - offset)), 1)
    except zlib.error as error:
        raise NpyError(f"is damaged: {error}") from error
    if left or rest or end - offset > _BLOCK or not inflater.eof or inflater.unused_data or crc != packed.crc:
        raise NpyError("is damaged: it isn't what its size and checksum say")
