"""Reads a zip file's list of members, and trusts none of it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracetui.errors import InputError
from tracetui.formats import zip_layout
from tracetui.formats.limits import MAX_DIRECTORY, MAX_RECORDS
from tracetui.formats.source import Source


@dataclass(frozen=True, slots=True)
class Member:
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


def read_directory(source: Source, is_name: Callable[[str], bool]) -> Directory:
    """The list of members, their names different and such as `is_name` accepts. Raises InputError."""
    end = _find_end(source)
    if end.entries > MAX_RECORDS + 2 or end.size > MAX_DIRECTORY:
        raise source.wrong(f"lists more than {MAX_RECORDS + 2:,} members, or takes more than {MAX_DIRECTORY:,} bytes")
    members = tuple(_entries(source, source.read(end.offset, end.size), end, is_name))
    names: set[str] = set()
    for member in members:
        if member.name in names:
            raise source.wrong("stands twice in the zip file", member.name)
        names.add(member.name)
    return Directory(members, end.offset)


def _find_end(source: Source) -> _End:
    """The end record, which has to be the file's last bytes, so that nobody can read another one."""
    at = source.size - zip_layout.END.size
    tail = source.read(at, zip_layout.END.size) if at >= 0 else b""
    if tail[:4] != zip_layout.END_SIGNATURE:
        problem = "is an npz file that was cut short, or has more behind its end: its list of members is missing"
        raise InputError(f"{source.path}: {problem}")
    _, disk, directory_disk, here, entries, size, offset, comment = zip_layout.END.unpack(tail)
    if disk or directory_disk or here != entries or comment:
        raise source.wrong("is of a zip file in several parts or with a comment")
    if entries == zip_layout.FULL16 or zip_layout.FULL32 in (size, offset):
        return _find_end64(source, at)
    if offset + size != at:
        raise source.wrong("does not lie where the file's end says")
    return _End(entries, size, offset)


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
        raise source.wrong("has a zip64 record that no trace file has")
    if here != entries or offset + size != at:
        raise source.wrong("does not lie where the zip64 record says")
    return _End(entries, size, offset)


def _entries(source: Source, directory: bytes, end: _End, is_name: Callable[[str], bool]) -> Iterator[Member]:
    at = 0
    for _ in range(end.entries):
        member, at = _entry(source, directory, at, is_name)
        if member.offset + member.stored > end.offset:
            raise source.wrong("lies outside of the file's data", member.name)
        yield member
    if at != len(directory):
        raise source.wrong("is longer than its members")


def _entry(source: Source, directory: bytes, at: int, is_name: Callable[[str], bool]) -> tuple[Member, int]:
    name_at = at + zip_layout.DIRECTORY_ENTRY.size
    if name_at > len(directory):
        raise source.wrong("is shorter than its members")
    fixed = zip_layout.DIRECTORY_ENTRY.unpack_from(directory, at)
    signature, _, _, flags, method, _, _, crc, stored, size, name_length, extra_length, comment, disk, *_, offset = (
        fixed
    )
    if signature != zip_layout.ENTRY_SIGNATURE:
        raise source.wrong("is damaged")
    extra_at = name_at + name_length
    end = extra_at + extra_length + comment
    name = directory[name_at:extra_at].decode("latin-1")
    if end > len(directory) or not is_name(name):
        raise source.wrong("has no name that a trace file's member has", name)
    if disk or comment:
        raise source.wrong("lies in another part of the zip file, or has a comment", name)
    extra = extra_fields(source, name, directory[extra_at : extra_at + extra_length])
    size, stored, offset = _widened(source, name, (size, stored, offset), extra)
    return Member(name, flags, method, crc, stored, size, offset), end


def extra_fields(source: Source, name: str, content: bytes) -> dict[int, bytes]:
    """Extra fields by kind. Raises InputError if they don't fill their place exactly, or one stands twice."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(content):
        if at + zip_layout.EXTRA.size > len(content):
            raise source.wrong("has a damaged extra field", name)
        kind, length = zip_layout.EXTRA.unpack_from(content, at)
        at += zip_layout.EXTRA.size
        if at + length > len(content) or kind in found:
            raise source.wrong("has a damaged extra field", name)
        found[kind] = content[at : at + length]
        at += length
    return found


def _widened(source: Source, name: str, numbers: tuple[int, int, int], extra: dict[int, bytes]) -> tuple[int, int, int]:
    """The numbers, those that fill their 32 bits taken from the zip64 field."""
    wide = extra.get(zip_layout.ZIP64_KIND, b"")
    missing = numbers.count(zip_layout.FULL32)
    if len(wide) < 8 * missing:
        raise source.wrong("lacks the zip64 sizes that it needs", name)
    rest = iter(struct.unpack_from(f"<{missing}Q", wide))
    first, second, third = (next(rest) if number == zip_layout.FULL32 else number for number in numbers)
    return first, second, third
