"""The directory of a zip as torch.save writes it, read strictly, so that nothing in it has to be trusted later.

torch maps a tensor wherever the directory says that it lies: a compressed or short record would come back as
wrong numbers without an error. Here every record must be stored as it is, lie whole within the file, and have
one name only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracetui.errors import InputError
from tracetui.formats import zip_layout
from tracetui.formats.source import Source
from tracetui.formats.zip_arrays import content_at
from tracetui.formats.zip_directory import Member, read_directory
from tracetui.paths import open_regular, refuse_disguised

_SAVE_AGAIN = "torch.save(torch.load(f, weights_only=True), f)"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One member of the archive, in bytes from the file's start."""

    start: int
    size: int


def read_records(path: Path) -> dict[str, StoredRecord]:
    """Every record by its name in small letters within the archive's one folder: `data.pkl`, `data/0`.

    Raises InputError for whatever torch.save doesn't write: another format, compression, encryption, a cut
    file, records outside the file, names that stand there twice.
    """
    with open_regular(path) as file:
        source = Source(path, file)
        _check_format(source)
        directory = read_directory(source, lambda name: True)
        records: dict[str, StoredRecord] = {}
        for member in directory.members:
            # torch looks names up without regard to case.
            inner = member.name.partition("/")[2].lower()
            if inner in records:
                raise source.wrong("stands twice in the zip file", member.name)
            records[inner] = _record(source, member, directory.offset)
    if len({member.name.partition("/")[0] for member in directory.members}) != 1:
        raise source.wrong(f"is not as torch.save writes it; save the file again: {_SAVE_AGAIN}")
    return records


def _check_format(source: Source) -> None:
    if not source.size:
        raise InputError(f"{source.path}: is empty")
    head = source.read(0, min(512, source.size))
    refuse_disguised(source.path, head)
    if head.startswith(b"\x80"):
        problem = f"is in torch's old format, which can't be mapped; save it again: {_SAVE_AGAIN}"
        raise InputError(f"{source.path}: {problem}")
    if not head.startswith(zip_layout.LOCAL_SIGNATURE):
        raise InputError(f"{source.path}: is not a file of torch.save")


def _record(source: Source, member: Member, limit: int) -> StoredRecord:
    """Where a record's data lies, which must end before `limit`."""
    if member.flags & zip_layout.ENCRYPTED_FLAG:
        raise source.wrong("is encrypted", member.name)
    if member.method != zip_layout.STORED or member.stored != member.size:
        raise source.wrong(f"is compressed; save the file again: {_SAVE_AGAIN}", member.name)
    start = content_at(source, member)
    if start + member.size > limit:
        raise source.wrong(
            f"its {member.size:,} bytes from byte {start:,} on reach beyond the file's data", member.name
        )
    return StoredRecord(start, member.size)
