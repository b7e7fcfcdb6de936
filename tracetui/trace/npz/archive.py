"""Writes a zip file of stored, aligned members, the same bytes for the same members."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import IO

from tracetui.trace.npz import layout

_VERSION, _VERSION_64 = 20, 45
_MADE_ON_UNIX = 3 << 8
_FIRST_OF_1980 = 1 << 5 | 1
_ORDINARY_FILE = 0o100644 << 16


class ZipWriter:
    """Adds members one by one to a seekable file that starts empty; `finish` makes it a zip file.

    `zip64_from` is the first number that no 32-bit field holds.
    """

    def __init__(self, file: IO[bytes], zip64_from: int = layout.FULL32) -> None:
        self._file = file
        self._zip64_from = zip64_from
        self._at = 0
        self._directory: list[bytes] = []

    def add(self, name: str, size: int, blocks: Iterable[bytes | memoryview]) -> None:
        """A member of `size` bytes, which begins at a multiple of 64; the blocks together are its content."""
        start, crc = self._at, 0
        self._write(self._local_header(name, size, crc))
        end = self._at + size
        for block in blocks:
            crc = zlib.crc32(block, crc)
            self._write(block)
        if self._at != end:
            raise ValueError(f"{name}: announced {size:,} bytes, got {self._at - end + size:,}")
        self._file.seek(start)
        self._file.write(self._local_header(name, size, crc, start))
        self._file.seek(end)
        self._directory.append(self._entry(name, size, crc, start))

    def finish(self) -> int:
        """Write the directory; returns the size of the whole file."""
        start = self._at
        for entry in self._directory:
            self._write(entry)
        self._end(len(self._directory), start, self._at - start)
        return self._at

    def _write(self, content: bytes | memoryview) -> None:
        self._file.write(content)
        self._at += len(content)

    def _local_header(self, name: str, size: int, crc: int, start: int | None = None) -> bytes:
        start = self._at if start is None else start
        large = size >= self._zip64_from
        extra = _extra(layout.ZIP64_KIND, layout.ZIP64_SIZES.pack(size, size)) if large else b""
        extra += _padding(start + layout.LOCAL_HEADER.size + len(name) + len(extra))
        shown = layout.FULL32 if large else size
        version = _VERSION_64 if large else _VERSION
        fixed = layout.LOCAL_HEADER.pack(
            layout.LOCAL_SIGNATURE,
            version,
            0,
            layout.STORED,
            0,
            _FIRST_OF_1980,
            crc,
            shown,
            shown,
            len(name),
            len(extra),
        )
        return fixed + name.encode("ascii") + extra

    def _entry(self, name: str, size: int, crc: int, start: int) -> bytes:
        numbers = (size, size, start)
        large = [number for number in numbers if number >= self._zip64_from]
        extra = _extra(layout.ZIP64_KIND, b"".join(number.to_bytes(8, "little") for number in large)) if large else b""
        version = _VERSION_64 if large else _VERSION
        shown = [layout.FULL32 if number >= self._zip64_from else number for number in numbers]
        fixed = layout.DIRECTORY_ENTRY.pack(
            *(layout.ENTRY_SIGNATURE, _MADE_ON_UNIX | version, version, 0, layout.STORED, 0, _FIRST_OF_1980, crc),
            *(shown[0], shown[1], len(name), len(extra), 0, 0, 0, _ORDINARY_FILE, shown[2]),
        )
        return fixed + name.encode("ascii") + extra

    def _end(self, entries: int, start: int, size: int) -> None:
        if entries >= layout.FULL16 or max(start, size) >= self._zip64_from:
            at = self._at
            rest = layout.END64.size - 12
            versions = (_MADE_ON_UNIX | _VERSION_64, _VERSION_64)
            counts = (entries, entries, size, start)
            self._write(layout.END64.pack(layout.END64_SIGNATURE, rest, *versions, 0, 0, *counts))
            self._write(layout.LOCATOR64.pack(layout.LOCATOR64_SIGNATURE, 0, at, 1))
            entries = layout.FULL16
            start = size = layout.FULL32
        self._write(layout.END.pack(layout.END_SIGNATURE, 0, 0, entries, entries, size, start, 0))


def _extra(kind: int, content: bytes) -> bytes:
    return layout.EXTRA.pack(kind, len(content)) + content


def _padding(data_at: int) -> bytes:
    """An extra field that moves the data from `data_at` to the next multiple of the alignment; empty if it is there."""
    short = -data_at % layout.ALIGNMENT
    if not short:
        return b""
    head = layout.EXTRA.size + 2
    length = short if short >= head else short + layout.ALIGNMENT
    return _extra(layout.PADDING_KIND, layout.ALIGNMENT.to_bytes(2, "little") + bytes(length - head))
