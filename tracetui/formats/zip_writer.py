"""Writes a zip file of aligned members, stored or deflated, the same bytes for the same members."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

from tracetui.formats import zip_layout
from tracetui.native.checksum import crc32

_VERSION, _VERSION_64 = 20, 45
_MADE_ON_UNIX = 3 << 8
_FIRST_OF_1980 = 1 << 5 | 1
_ORDINARY_FILE = 0o100644 << 16


_LEVEL, _RAW = 3, -15
"""How hard zlib tries, and that it adds no header of its own."""


@dataclass(slots=True)
class _Member:
    name: str
    method: int
    size: int
    stored: int
    crc: int
    start: int

    @property
    def most(self) -> int:
        """Bytes that it may take at most: what can't be compressed grows a little."""
        return self.size if self.method == zip_layout.STORED else self.size + self.size // 1000 + 64


class ZipWriter:
    """Adds members one by one to a seekable file that starts empty; `finish` makes it a zip file.

    `zip64_from` is the first number that no 32-bit field holds.
    """

    def __init__(self, file: IO[bytes], zip64_from: int = zip_layout.FULL32) -> None:
        self._file = file
        self._zip64_from = zip64_from
        self._at = 0
        self._directory: list[bytes] = []

    def add(self, name: str, size: int, blocks: Iterable[bytes | memoryview], compress: bool = False) -> None:
        """A member of `size` bytes, which begins at a multiple of 64; the blocks together are its content."""
        method = zip_layout.DEFLATED if compress else zip_layout.STORED
        member = _Member(name, method, size, size, 0, self._at)
        self._write(self._local_header(member))
        began, written = self._at, 0
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW) if compress else None
        for block in blocks:
            member.crc = crc32(block, member.crc)
            written += len(block)
            self._write(packer.compress(block) if packer else block)
        if packer:
            self._write(packer.flush())
        if written != size:
            raise ValueError(f"{name}: announced {size:,} bytes, got {written:,}")
        member.stored = self._at - began
        self._file.seek(member.start)
        self._file.write(self._local_header(member))
        self._file.seek(self._at)
        self._directory.append(self._entry(member))

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

    def _local_header(self, member: _Member) -> bytes:
        """As long before its numbers are known as after."""
        name, large = member.name, member.most >= self._zip64_from
        extra = _extra(zip_layout.ZIP64_KIND, zip_layout.ZIP64_SIZES.pack(member.size, member.stored)) if large else b""
        extra += _padding(member.start + zip_layout.LOCAL_HEADER.size + len(name) + len(extra))
        stored, size = (zip_layout.FULL32, zip_layout.FULL32) if large else (member.stored, member.size)
        version = _VERSION_64 if large else _VERSION
        fixed = zip_layout.LOCAL_HEADER.pack(
            *(zip_layout.LOCAL_SIGNATURE, version, 0, member.method, 0, _FIRST_OF_1980, member.crc),
            *(stored, size, len(name), len(extra)),
        )
        return fixed + name.encode("ascii") + extra

    def _entry(self, member: _Member) -> bytes:
        name, numbers = member.name, (member.size, member.stored, member.start)
        large = [number for number in numbers if number >= self._zip64_from]
        extra = (
            _extra(zip_layout.ZIP64_KIND, b"".join(number.to_bytes(8, "little") for number in large)) if large else b""
        )
        version = _VERSION_64 if large else _VERSION
        size, stored, start = (zip_layout.FULL32 if number >= self._zip64_from else number for number in numbers)
        fixed = zip_layout.DIRECTORY_ENTRY.pack(
            *(zip_layout.ENTRY_SIGNATURE, _MADE_ON_UNIX | version, version, 0, member.method, 0, _FIRST_OF_1980),
            *(member.crc, stored, size, len(name), len(extra), 0, 0, 0, _ORDINARY_FILE, start),
        )
        return fixed + name.encode("ascii") + extra

    def _end(self, entries: int, start: int, size: int) -> None:
        if entries >= zip_layout.FULL16 or max(start, size) >= self._zip64_from:
            at = self._at
            rest = zip_layout.END64.size - 12
            versions = (_MADE_ON_UNIX | _VERSION_64, _VERSION_64)
            counts = (entries, entries, size, start)
            self._write(zip_layout.END64.pack(zip_layout.END64_SIGNATURE, rest, *versions, 0, 0, *counts))
            self._write(zip_layout.LOCATOR64.pack(zip_layout.LOCATOR64_SIGNATURE, 0, at, 1))
            entries = zip_layout.FULL16
            start = size = zip_layout.FULL32
        self._write(zip_layout.END.pack(zip_layout.END_SIGNATURE, 0, 0, entries, entries, size, start, 0))


def _extra(kind: int, content: bytes) -> bytes:
    return zip_layout.EXTRA.pack(kind, len(content)) + content


def _padding(data_at: int) -> bytes:
    """An extra field that moves the data from `data_at` to the next multiple of the alignment; empty if it is there."""
    short = -data_at % zip_layout.ALIGNMENT
    if not short:
        return b""
    head = zip_layout.EXTRA.size + 2
    length = short if short >= head else short + zip_layout.ALIGNMENT
    return _extra(zip_layout.PADDING_KIND, zip_layout.ALIGNMENT.to_bytes(2, "little") + bytes(length - head))
