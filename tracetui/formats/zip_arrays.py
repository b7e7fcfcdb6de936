"""Finds the arrays inside a checked zip file: where their values lie, of which dtype and shape."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import partial
from itertools import islice
from math import prod
from typing import NamedTuple

import numpy as np

from tracetui.errors import InputError
from tracetui.formats import zip_layout
from tracetui.formats.limits import MAX_HEADER
from tracetui.formats.npy import (
    LONGEST_PREFIX,
    MAX_TEXT,
    Head,
    NoNumbersError,
    NpyError,
    parse_text,
    text_place,
)
from tracetui.formats.packed import MOST_EXPANDED, Packed, unpacked
from tracetui.formats.source import Source
from tracetui.formats.zip_directory import Directory, Member, checked_extra_fields

_HEAD = LONGEST_PREFIX + MAX_TEXT
_KEPT_BY = "; numpy.savez or numpy.savez_compressed to a file writes what is read"


class StoredArray(NamedTuple):
    """An array's place in the file."""

    name: str
    offset: int
    """Of its first value."""
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    end: int
    """The first byte after the member."""
    fortran: bool = False
    """Whether the values lie in Fortran order."""
    packed: Packed | None = None
    """How the content is deflated, which `offset` is the beginning of; None where values lie as they are."""
    crc: int = 0
    """The checksum of the header and the values that the file gives; 0 where it gives none."""


def locate(source: Source, member: Member, own: bool = True) -> StoredArray:
    """The array of a member, after both of its headers agree with the directory.

    own: whether the file is to be a trace, so that only what tracetui writes will do. Raises InputError, and
    NoNumbersError for a sound member of a file not our own.
    """
    _check_readable(source, member, own)
    at = content_at(source, member)
    if member.method == zip_layout.DEFLATED:
        return _locate_packed(source, member, at, own)
    end = at + member.size
    try:
        if member.size < LONGEST_PREFIX:
            raise _too_small(member)
        text = text_place(source.read(at, LONGEST_PREFIX, member.name), own)
        if at + text.stop > end:
            raise NpyError("is too small for an array")
        head = parse_text(source.read(at + text.start, len(text), member.name), own)
    except NpyError as error:
        raise _refused(error, source, member, own) from error
    _check_size(source, member, head, member.size - text.stop)
    return StoredArray(member.name, at + text.stop, head.dtype, head.shape, end, head.fortran, crc=member.crc)


def _locate_packed(source: Source, member: Member, at: int, own: bool) -> StoredArray:
    """The array of a deflated member, its npy header unpacked."""
    packed = Packed(member.stored, member.size, member.crc)
    read = partial(source.read, member=member.name)
    try:
        start = b"".join(islice(unpacked(read, at, packed, _HEAD), 1))[:_HEAD]
        if len(start) < LONGEST_PREFIX:
            raise _too_small(member)
        text = text_place(start[:LONGEST_PREFIX], own)
        if text.stop > len(start):
            raise NpyError("is too small for an array")
        head = parse_text(start[text.start : text.stop], own)
    except NpyError as error:
        raise _refused(error, source, member, own) from error
    _check_size(source, member, head, member.size - text.stop)
    packed = replace(packed, head=text.stop)
    end = at + member.stored
    return StoredArray(member.name, at, head.dtype, head.shape, end, head.fortran, packed, member.crc)


def locate_npy(source: Source, name: str) -> StoredArray:
    """The array of a file that is one npy array and nothing else. Raises InputError."""
    try:
        if source.size < LONGEST_PREFIX:
            raise NpyError("is too small for an array")
        text = text_place(source.read(0, LONGEST_PREFIX, "npy header"), own=False)
        head = parse_text(source.read(text.start, len(text), "npy header"), own=False)
    except NpyError as error:
        raise InputError(f"{source.path}: {error}") from error
    needed = head.dtype.itemsize * prod(head.shape)
    if source.size - text.stop != needed:
        raise InputError(f"{source.path}: its dtype and shape need {needed:,} bytes, got {source.size - text.stop:,}")
    return StoredArray(name, text.stop, head.dtype, head.shape, source.size, head.fortran)


def _too_small(member: Member) -> NpyError:
    """Files of other kinds may be of any size."""
    kind = NpyError if member.name.endswith(".npy") else NoNumbersError
    return kind("is too small for an array")


def _refused(error: NpyError, source: Source, member: Member, own: bool) -> Exception:
    return error if isinstance(error, NoNumbersError) and not own else source.wrong(str(error), member.name)


def _check_size(source: Source, member: Member, head: Head, byte_count: int) -> None:
    needed = head.dtype.itemsize * prod(head.shape)
    if byte_count != needed:
        raise source.wrong(f"its dtype and shape need {needed:,} bytes, got {byte_count:,}", member.name)


def _check_readable(source: Source, member: Member, own: bool) -> None:
    hint = "" if own else _KEPT_BY
    if member.flags & zip_layout.ENCRYPTED_FLAG:
        raise source.wrong("is encrypted", member.name)
    if member.method not in (zip_layout.STORED, zip_layout.DEFLATED):
        raise source.wrong(f"is packed by a method that is not read, got {member.method}{hint}", member.name)
    if member.flags & ~(
        zip_layout.UTF8_FLAG | (0 if own else zip_layout.TRAILING_SIZES_FLAG | zip_layout.EFFORT_FLAGS)
    ):
        raise source.wrong(f"has zip flags that are not read, got {member.flags:#06x}{hint}", member.name)
    if member.method == zip_layout.DEFLATED:
        if member.size > MOST_EXPANDED * member.stored:
            raise source.wrong(f"unpacks to more than deflate can, got {member.size:,} bytes", member.name)
    elif member.stored != member.size:
        raise source.wrong(f"is stored, but of two sizes, got {member.stored:,} and {member.size:,}", member.name)


def content_at(source: Source, member: Member) -> int:
    """Where the content begins, if the local header says the same as the directory."""
    fixed = zip_layout.LOCAL_HEADER.unpack(source.read(member.offset, zip_layout.LOCAL_HEADER.size, member.name))
    signature, _, flags, method, _, _, crc, stored, size, name_length, extra_length = fixed
    if signature != zip_layout.LOCAL_SIGNATURE:
        raise source.wrong("does not begin where the zip directory says", member.name)
    rest = source.read(member.offset + zip_layout.LOCAL_HEADER.size, name_length + extra_length, member.name)
    name = rest[:name_length].decode("latin-1")
    extra = checked_extra_fields(source, member.name, rest[name_length:])
    if zip_layout.FULL32 in (stored, size):
        wide = extra.get(zip_layout.ZIP64_KIND, b"")
        if len(wide) < zip_layout.ZIP64_SIZES.size:
            raise source.wrong("lacks the zip64 sizes that it needs", member.name)
        # torch writes its place behind them, as in the directory.
        size, stored = zip_layout.ZIP64_SIZES.unpack_from(wide)
    if flags & zip_layout.TRAILING_SIZES_FLAG and not any((crc, stored, size)):
        # Written as a stream: they stand behind the content, and in the directory.
        crc, stored, size = member.crc, member.stored, member.size
    listed = (member.flags, member.method, member.crc, member.stored, member.size, member.name)
    if (flags, method, crc, stored, size, name) != listed:
        raise source.wrong("its own header differs from the zip directory", member.name)
    return member.offset + zip_layout.LOCAL_HEADER.size + len(rest)


def locate_all(source: Source, directory: Directory, left_out: dict[str, str] | None = None) -> dict[str, StoredArray]:
    """The arrays of all members, by name without `.npy`; no two share a byte. Raises InputError.

    left_out: given for a file of somebody's own; takes the names of members without numbers, and what they hold.
    """
    arrays: dict[str, StoredArray] = {}
    end = 0
    for member in sorted(directory.members, key=lambda member: member.offset):
        try:
            array = locate(source, member, own=left_out is None)
        except NoNumbersError as error:
            if left_out is not None:
                left_out[member.name.removesuffix(".npy")] = str(error)
            continue
        if member.offset < end or array.end > directory.offset:
            raise source.wrong("overlaps another member, or the zip directory", member.name)
        arrays[member.name.removesuffix(".npy")] = array
        end = array.end
    return arrays


def read_document(source: Source, member: Member) -> bytes:
    """The content of a member that holds text as uint8, its checksum checked. Raises InputError."""
    if member.size > MAX_HEADER:
        raise source.wrong(f"is larger than {MAX_HEADER:,} bytes, got {member.size:,}", member.name)
    array = locate(source, member)
    if array.dtype != np.uint8 or len(array.shape) != 1:
        raise source.wrong("is not a row of uint8", member.name)
    if array.packed is not None:
        try:
            content = b"".join(unpacked(partial(source.read, member=member.name), array.offset, array.packed))
        except NpyError as error:
            raise source.wrong(str(error), member.name) from error
        return content[array.packed.head :]
    start = array.end - member.size
    content = source.read(start, member.size, member.name)
    if zlib.crc32(content) != member.crc:
        raise source.wrong("is damaged: its checksum differs", member.name)
    return content[array.offset - start :]
