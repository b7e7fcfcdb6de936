"""Reads a zip file's list of members, and trusts none of it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import eq
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tracetui.errors import InputError
from tracetui.formats import zip_layout
from tracetui.formats.limits import MAX_DIRECTORY, MAX_RECORDS
from tracetui.formats.source import Source


class Member(NamedTuple):
    """A file inside the zip file, as the directory has it."""

    name: str
    """With its `.npy`."""
    flags: int
    method: int
    crc: int
    stored: int
    """Bytes in the zip file."""
    size: int
    """Bytes unpacked."""
    offset: int
    """Of its local header."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The members in the order of the list, and where the list begins: all members lie before it."""

    members: tuple[Member, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class _End:
    """Where the directory is, and how many members it lists."""

    entries: int
    size: int
    offset: int


def may_list(source: Source, name: str) -> bool:
    """Whether the bytes of a member's name stand in the list of members, of which nothing is checked. Raises InputError
    where there is none.
    """
    end = _find_end(source)
    return end.size > MAX_DIRECTORY or name.encode("latin-1") in source.read(end.offset, end.size)


def read_directory(source: Source, is_name: Callable[[str], bool]) -> Directory:
    """The list of members, their names different and such as `is_name` accepts. Raises InputError."""
    end = _find_end(source)
    if end.entries > MAX_RECORDS + 2 or end.size > MAX_DIRECTORY:
        raise source.wrong(f"lists more than {MAX_RECORDS + 2:,} members, or takes more than {MAX_DIRECTORY:,} bytes")
    members = _entries(source, source.read(end.offset, end.size), end, is_name)
    names: set[str] = set()
    for member in members:
        if member.name in names:
            raise source.wrong("stands twice in the zip file", member.name)
        names.add(member.name)
    return Directory(tuple(members), end.offset)


def _find_end(source: Source) -> _End:
    """The end record, which has to be the file's last bytes, so that nobody can read another one."""
    at = source.size - zip_layout.END.size
    tail = source.read(at, zip_layout.END.size) if at >= 0 else b""
    if tail[:4] != zip_layout.END_SIGNATURE:
        problem = "is a zip file that was cut short, or has more behind its end: its list of members is missing"
        raise InputError(f"{source.path}: {problem}")
    _, disk, directory_disk, here, entries, size, offset, comment = zip_layout.END.unpack(tail)
    if disk or directory_disk or here != entries or comment:
        raise source.wrong("is of a zip file in several parts or with a comment")
    own, full = (entries, size, offset), (zip_layout.FULL16, zip_layout.FULL32, zip_layout.FULL32)
    if any(map(eq, own, full)) or _has_locator64(source, at):
        end = _find_end64(source, at)
        wide = (end.entries, end.size, end.offset)
        if any(number not in (most, one) for number, most, one in zip(own, full, wide, strict=True)):
            raise source.wrong("says another thing at the file's end than its zip64 record")
        return end
    if offset + size != at:
        raise source.wrong("does not lie where the file's end says")
    return _End(entries, size, offset)


def _has_locator64(source: Source, end_at: int) -> bool:
    """Whether there is a zip64 record: torch writes one also where every number would do without."""
    at = end_at - zip_layout.LOCATOR64.size
    return at >= 0 and source.read(at, 4) == zip_layout.LOCATOR64_SIGNATURE


def _find_end64(source: Source, end_at: int) -> _End:
    locator_at = end_at - zip_layout.LOCATOR64.size
    at = locator_at - zip_layout.END64.size
    if at < 0:
        raise source.wrong("lacks the zip64 record that it needs")
    signature, disk, shown_at, disks = zip_layout.LOCATOR64.unpack(source.read(locator_at, zip_layout.LOCATOR64.size))
    if signature != zip_layout.LOCATOR64_SIGNATURE or disk or disks != 1 or shown_at != at:
        raise source.wrong("lacks the zip64 record that it needs")
    record = zip_layout.END64.unpack(source.read(at, zip_layout.END64.size))
    signature, rest, _, _, disk, directory_disk, here, entries, size, offset = record
    if signature != zip_layout.END64_SIGNATURE or rest != zip_layout.END64.size - 12 or disk or directory_disk:
        raise source.wrong("has a zip64 record of another form than is read")
    if here != entries or offset + size != at:
        raise source.wrong("does not lie where the zip64 record says")
    return _End(entries, size, offset)


def _entries(source: Source, directory: bytes, end: _End, is_name: Callable[[str], bool]) -> list[Member]:
    """Column by column: there may be hundreds of thousands."""
    places = _places(source, directory, end.entries)
    head = zip_layout.DIRECTORY_ENTRY.size
    table = np.frombuffer(b"".join([directory[at : at + head] for at in places]), zip_layout.ENTRY_DTYPE)
    names = [
        directory[at + head : at + head + length].decode("latin-1")
        for at, length in zip(places, table["name_length"].tolist(), strict=True)
    ]

    def refuse(places: npt.ArrayLike, problem: str) -> None:
        for place in np.flatnonzero(places)[:1]:
            raise source.wrong(problem, names[place])

    refuse([not is_name(name) for name in names], "has no name that a trace file's member has")
    parts = (table["disk"] != 0) | (table["comment_length"] != 0)
    refuse(parts, "lies in another part of the zip file, or has a comment")
    numbers = _wide_numbers(source, directory, places, names, table)
    largest = np.maximum(numbers["stored"], numbers["offset"])
    outside = (largest > end.offset) | (numbers["offset"] + numbers["stored"] > end.offset)
    refuse(outside, "lies outside of the file's data")
    columns = (table["flags"], table["method"], table["crc"], numbers["stored"], numbers["size"], numbers["offset"])
    return list(map(Member, names, *(column.tolist() for column in columns)))


def _wide_numbers(
    source: Source, directory: bytes, places: Sequence[int], names: Sequence[str], table: npt.NDArray[np.void]
) -> dict[str, npt.NDArray[np.uint64]]:
    """Sizes and offsets of all entries, those that fill their 32 bits taken from the zip64 field; all extra fields
    are looked at.
    """
    numbers = {name: table[name].astype(np.uint64) for name in ("size", "stored", "offset")}
    is_full = np.any([column == zip_layout.FULL32 for column in numbers.values()], axis=0)
    for place in np.flatnonzero((table["extra_length"] != 0) | is_full).tolist():
        extra_at = places[place] + table.dtype.itemsize + int(table["name_length"][place])
        content = directory[extra_at : extra_at + int(table["extra_length"][place])]
        extra = checked_extra_fields(source, names[place], content)
        own = (int(numbers["size"][place]), int(numbers["stored"][place]), int(numbers["offset"][place]))
        for name, number in zip(numbers, _widened(source, names[place], own, extra), strict=True):
            numbers[name][place] = number
    return numbers


def _places(source: Source, directory: bytes, count: int) -> list[int]:
    """Where each entry begins."""
    places: list[int] = []
    at = 0
    for _ in range(count):
        if at + zip_layout.DIRECTORY_ENTRY.size > len(directory):
            raise source.wrong("is shorter than its members")
        signature, name_length, extra_length, comment_length = zip_layout.ENTRY_LENGTHS.unpack_from(directory, at)
        if signature != zip_layout.ENTRY_SIGNATURE:
            raise source.wrong("is damaged")
        places.append(at)
        at += zip_layout.DIRECTORY_ENTRY.size + name_length + extra_length + comment_length
    if at > len(directory):
        raise source.wrong("is shorter than its members")
    if at != len(directory):
        raise source.wrong("is longer than its members")
    return places


def checked_extra_fields(source: Source, name: str, content: bytes) -> Mapping[int, bytes]:
    """Extra fields by kind. Raises InputError if they don't fill their place exactly, or one stands twice."""
    if (fields := _extra_fields(content)) is None:
        raise source.wrong("has a damaged extra field", name)
    return fields


@lru_cache(maxsize=256)
def _extra_fields(content: bytes) -> Mapping[int, bytes] | None:
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(content):
        if at + zip_layout.EXTRA.size > len(content):
            return None
        kind, length = zip_layout.EXTRA.unpack_from(content, at)
        at += zip_layout.EXTRA.size
        if at + length > len(content) or kind in fields:
            return None
        fields[kind] = content[at : at + length]
        at += length
    return fields


def _widened(
    source: Source, name: str, numbers: tuple[int, int, int], extra: Mapping[int, bytes]
) -> tuple[int, int, int]:
    """The numbers, those that fill their 32 bits taken from the zip64 field."""
    wide = extra.get(zip_layout.ZIP64_KIND, b"")
    missing = numbers.count(zip_layout.FULL32)
    if len(wide) < 8 * missing:
        raise source.wrong("lacks the zip64 sizes that it needs", name)
    rest = iter(struct.unpack_from(f"<{missing}Q", wide))
    first, second, third = (next(rest) if number == zip_layout.FULL32 else number for number in numbers)
    return first, second, third
