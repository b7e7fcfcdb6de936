"""Whether the bytes of a file are what its checksums say: they are looked at only when somebody asks."""

from __future__ import annotations

import zlib
from functools import partial
from pathlib import Path

from tracetui.file_heads import HEAD_BYTES
from tracetui.file_kinds import is_zip
from tracetui.file_state import check_unchanged
from tracetui.formats.npy import NpyError
from tracetui.formats.packed import Packed, unpacked
from tracetui.formats.source import Source
from tracetui.formats.zip_arrays import content_at
from tracetui.formats.zip_directory import Member, read_directory
from tracetui.formats.zip_layout import DEFLATED
from tracetui.paths import open_regular
from tracetui.recording.dumps.npz import is_member_name
from tracetui.text import visible

_BLOCK = 1 << 22


def check_values(path: Path) -> str:
    """Read every byte of an npz file, and say in a line what that showed.

    Raises InputError naming the first member whose checksum differs, and FileChangedError.
    """
    with open_regular(path) as file:
        source = Source(path, file)
        if not is_zip(source.read(0, min(HEAD_BYTES, source.size))):
            return "checksums  this kind of file has none"
        members = read_directory(source, is_member_name).members
        for member in members:
            if not _is_sound(source, member):
                raise source.wrong("is damaged: its checksum differs", visible(member.name, 80))
        check_unchanged(path, source.descriptor, source.state, "check it again")
    return f"checksums  of all {len(members):,} arrays right"


def _is_sound(source: Source, member: Member) -> bool:
    at, crc = content_at(source, member), 0
    if member.method == DEFLATED:
        packed = Packed(member.stored, member.size, member.crc)
        try:
            for _ in unpacked(partial(source.read, member=member.name), at, packed):
                pass
        except NpyError:
            return False
        return True
    for start in range(0, member.size, _BLOCK):
        crc = zlib.crc32(source.read(at + start, min(_BLOCK, member.size - start), member.name), crc)
    return crc == member.crc
