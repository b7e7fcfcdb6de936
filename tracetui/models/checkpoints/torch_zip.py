"""The directory of a zip as torch.save writes it, read strictly, so that nothing in it has to be trusted later.

torch maps a tensor wherever the directory says that it lies: a compressed or short record would come back as
wrong numbers without an error. Here every record must be stored as it is, lie whole within the file, and have
one name only.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from tracetui.errors import InputError
from tracetui.paths import open_regular, refuse_disguised
from tracetui.text import visible

MAX_DIRECTORY_BYTES = 16 * 2**20
_MAX_RECORDS = 2**16
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_IN_EXTRA = 0xFFFFFFFF
_ENCRYPTED = 1
_SAVE_AGAIN = "torch.save(torch.load(f, weights_only=True), f)"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One member of the archive, in bytes from the file's start."""

    start: int
    size: int


def read_directory(path: Path) -> dict[str, StoredRecord]:
    """Every record by its name in small letters within the archive's one folder: `data.pkl`, `data/0`.

    Raises InputError for whatever torch.save doesn't write: another format, compression, encryption, a cut
    file, records outside the file, names that stand there twice.
    """
    with open_regular(path) as file:
        return _Reader(file, path).records()


class _Entry(NamedTuple):
    """One entry of the directory, its fields in the format's order."""

    signature: bytes
    made_by: int
    needs: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    name_size: int
    extra_size: int
    comment_size: int
    disk: int
    inner_attributes: int
    outer_attributes: int
    header: int


class _Reader:
    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        self._file_size = os.fstat(file.fileno()).st_size

    def records(self) -> dict[str, StoredRecord]:
        self._check_format()
        start, size, count = self._find_directory()
        directory = self._read(start, size)
        entries: dict[str, StoredRecord] = {}
        folders: set[str] = set()
        position = 0
        for _ in range(count):
            name, record, position = self._entry(directory, position, start)
            folder, _, inner = name.partition("/")
            folders.add(folder)
            # torch looks names up without regard to case.
            if inner.lower() in entries:
                raise self._bad(f"{visible(name, 80)}: stands there twice")
            entries[inner.lower()] = record
        if position != size or len(folders) != 1:
            raise self._bad(f"its directory is not as torch.save writes it; save it again: {_SAVE_AGAIN}")
        return entries

    def _check_format(self) -> None:
        head = self._read(0, min(64, self._file_size))
        if not head:
            raise self._bad("is empty")
        refuse_disguised(self._path, head)
        if head.startswith(b"\x80"):
            raise self._bad(f"is in torch's old format, which can't be mapped; save it again: {_SAVE_AGAIN}")
        if not head.startswith(b"PK\x03\x04"):
            raise self._bad("is not a file of torch.save")

    def _find_directory(self) -> tuple[int, int, int]:
        """Where the directory starts, its bytes, its entries; the file must end right behind it."""
        end = self._file_size - _END.size
        if end < 0 or (tail := _END.unpack(self._read(end, _END.size)))[0] != b"PK\x05\x06" or tail[7]:
            raise self._bad(f"is cut short: {self._file_size:,} bytes, and no zip directory at their end")
        count, size, start = tail[4], tail[5], tail[6]
        locator = end - _LOCATOR.size
        if locator >= 0 and (found := _LOCATOR.unpack(self._read(locator, _LOCATOR.size)))[0] == b"PK\x06\x07":
            end = found[2]
            if locator - end != _END_64.size:
                raise self._bad("its zip directory is damaged")
            wide = _END_64.unpack(self._read(end, _END_64.size))
            if wide[0] != b"PK\x06\x06":
                raise self._bad("its zip directory is damaged")
            count, size, start = wide[7], wide[8], wide[9]
        if start + size != end:
            raise self._bad("its zip directory doesn't stand where the file says")
        if size > MAX_DIRECTORY_BYTES or count > _MAX_RECORDS:
            raise self._bad(f"its zip directory is too large: {count:,} records in {size:,} bytes")
        return start, size, count

    def _entry(self, directory: bytes, position: int, limit: int) -> tuple[str, StoredRecord, int]:
        """One entry's name and record, and where the next entry stands; data must end before `limit`."""
        if position + _ENTRY.size > len(directory):
            raise self._bad("its zip directory is cut short")
        entry = _Entry._make(_ENTRY.unpack_from(directory, position))
        names = position + _ENTRY.size
        extras = names + entry.name_size
        following = extras + entry.extra_size + entry.comment_size
        if entry.signature != b"PK\x01\x02" or following > len(directory):
            raise self._bad("its zip directory is damaged")
        raw_name = directory[names:extras]
        name = visible(raw_name.decode("utf-8", "replace"), 80)
        extra = directory[extras : extras + entry.extra_size]
        size, packed, header = self._widen(name, extra, entry.size, entry.packed, entry.header)
        if entry.method or packed != size:
            raise self._bad(f"{name}: is compressed; save the file again: {_SAVE_AGAIN}")
        if entry.flags & _ENCRYPTED:
            raise self._bad(f"{name}: is encrypted")
        start = self._data_start(raw_name, name, header)
        if start + size > limit:
            raise self._bad(f"{name}: its {size:,} bytes from byte {start:,} on reach beyond the file's data")
        return name, StoredRecord(start, size), following

    def _widen(self, name: str, extra: bytes, *sizes: int) -> tuple[int, ...]:
        """The sizes with those that need 64 bits taken from the entry's extra field, in the order they stand there."""
        wide = iter(self._wide_values(extra))
        found = tuple(next(wide, -1) if size == _IN_EXTRA else size for size in sizes)
        if min(found) < 0:
            raise self._bad(f"{name}: its size is not given")
        return found

    def _wide_values(self, extra: bytes) -> tuple[int, ...]:
        position = 0
        while position + 4 <= len(extra):
            kind, length = struct.unpack_from("<HH", extra, position)
            field = extra[position + 4 : position + 4 + length]
            if kind == 1:
                return struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8])
            position += 4 + length
        return ()

    def _data_start(self, raw_name: bytes, name: str, header: int) -> int:
        """The first byte of a record's data; its own header must say the same as the directory."""
        if header + _LOCAL.size > self._file_size:
            raise self._bad(f"{name}: lies outside the file")
        local = _LOCAL.unpack(self._read(header, _LOCAL.size))
        start = header + _LOCAL.size
        if local[0] != b"PK\x03\x04" or local[3] or self._read(start, local[9]) != raw_name:
            raise self._bad(f"{name}: its header says another thing than the zip directory")
        return int(start + local[9] + local[10])

    def _read(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        return self._file.read(size)

    def _bad(self, problem: str) -> InputError:
        return InputError(f"{self._path}: {problem}")
