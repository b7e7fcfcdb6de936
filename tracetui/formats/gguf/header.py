"""The header of a GGUF file, checked against the file before any tensor of it is read.

The format: magic, version, numbers of tensors and keys, the metadata, then a name, shape, type and offset of each
tensor, and behind an alignment the tensors' blocks. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

from tracetui.errors import InputError, bad_field
from tracetui.file_heads import GGUF_MAGIC, HEAD_BYTES
from tracetui.file_state import FileState, settled_state
from tracetui.formats.gguf.cursor import Cursor
from tracetui.formats.gguf.metadata import MAX_KEYS, Metadata, read_metadata
from tracetui.formats.gguf.types import BLOCK_TYPES, UNREAD_TYPES, BlockType
from tracetui.paths import open_regular, refuse_disguised
from tracetui.text import visible

ALIGNMENT_KEY = "general.alignment"
_VERSIONS = (2, 3)
_USUAL_ALIGNMENT = 32
_MAX_TENSORS = 100_000
_MAX_NAME_BYTES = 1024
_MAX_RANK = 4
_LEAST_ENTRY = 8 + 4 + 4 + 8
"""Bytes of a tensor without name or axes."""
_LEAST_KEY = 8 + 4 + 1


class GgufTensor(NamedTuple):
    """One tensor of a file, and where its bytes lie, counted from the file's first."""

    type: BlockType
    shape: tuple[int, ...]
    """As numpy and torch have it, the axis whose elements lie side by side last: the reverse of the file's own."""
    start: int
    stop: int


@dataclass(frozen=True, eq=False, slots=True)
class GgufHeader:
    """What a file says of itself."""

    path: Path
    version: int
    alignment: int
    metadata: Metadata
    tensors: Mapping[str, GgufTensor]
    """In the order of their bytes."""
    state: FileState | None
    """The file's, before anything of it was read."""

    @property
    def architecture(self) -> str:
        """llama.cpp's name of it: `llama`, `qwen3moe`."""
        return self.metadata.needed_text("general.architecture")


def read_header(path: Path) -> GgufHeader:
    """The header of a file.

    Raises InputError reading `file: key or tensor: problem, got …` for a file that is not wholly there or not as it
    says, and for one of another version or byte order.
    """
    with open_regular(path) as file:
        return _read(path, file)


def _read(path: Path, file: IO[bytes]) -> GgufHeader:
    state = settled_state(file.fileno())
    cursor = Cursor(path, file)
    head = cursor.take(min(HEAD_BYTES, cursor.size), "magic")
    if not head.startswith(GGUF_MAGIC):
        refuse_disguised(path, head)
        raise InputError(f"{path}: is no GGUF file: it begins with {head[:4]!r}")
    cursor.at = len(GGUF_MAGIC)
    version = _version(path, cursor.u32("version"))
    tensor_count = cursor.count(_LEAST_ENTRY, _MAX_TENSORS, "number of tensors")
    key_count = cursor.count(_LEAST_KEY, MAX_KEYS, "number of metadata keys")
    metadata = read_metadata(cursor, key_count)
    alignment = _alignment(metadata)
    entries = [_entry(cursor, index) for index in range(tensor_count)]
    first = cursor.at + -cursor.at % alignment
    return GgufHeader(path, version, alignment, metadata, _placed(cursor, entries, first, alignment), state)


def _version(path: Path, version: int) -> int:
    if version not in _VERSIONS:
        if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
            problem = (
                "the file is big-endian, for other processors; gguf's gguf_convert_endian.py makes it little-endian"
            )
            raise bad_field(path, "version", problem)
        versions = " and ".join(map(str, _VERSIONS))
        raise bad_field(
            path, "version", f"{versions} are read; convert the model again with today's llama.cpp", version
        )
    return version


def _alignment(metadata: Metadata) -> int:
    alignment = metadata.integer(ALIGNMENT_KEY)
    if alignment is None:
        return _USUAL_ALIGNMENT
    if alignment < 1 or alignment & (alignment - 1) or alignment > 2**31:
        metadata.fail(ALIGNMENT_KEY, "must be a power of two")
    return alignment


class _Entry(NamedTuple):
    name: str
    type: BlockType
    shape: tuple[int, ...]
    offset: int
    """From the first tensor's byte."""


def _entry(cursor: Cursor, index: int) -> _Entry:
    name = cursor.text(_MAX_NAME_BYTES, f"name of tensor {index}")
    rank = cursor.u32(name)
    if rank > _MAX_RANK:
        raise bad_field(cursor.path, visible(name, 80), f"must have at most {_MAX_RANK} axes", rank)
    axes = [cursor.u64(name) for _ in range(rank)]
    return _Entry(name, _block_type(cursor, name, cursor.u32(name)), tuple(reversed(axes)), cursor.u64(name))


def _block_type(cursor: Cursor, name: str, number: int) -> BlockType:
    if number in BLOCK_TYPES:
        return BLOCK_TYPES[number]
    if number in UNREAD_TYPES:
        kind, reason = UNREAD_TYPES[number]
        raise bad_field(cursor.path, visible(name, 80), f"is of type {kind}, {reason}; convert or quantise it again")
    raise bad_field(cursor.path, visible(name, 80), "is of a type that tracetui doesn't know", number)


def _placed(cursor: Cursor, entries: list[_Entry], first: int, alignment: int) -> dict[str, GgufTensor]:
    """The tensors where they lie. Raises InputError where two share bytes or a name, or one reaches out of the file."""
    places: dict[str, GgufTensor] = {}
    stop, before = first, ""
    for name, kind, shape, offset in sorted(entries, key=lambda entry: entry.offset):
        start = first + offset
        if name in places:
            raise bad_field(cursor.path, visible(name, 80), "stands there twice")
        if offset % alignment:
            raise bad_field(cursor.path, visible(name, 80), f"offset: must be a multiple of {alignment}", offset)
        if start < stop:
            problem = f"offset: its bytes begin at {offset:,}, before {visible(before, 80)} ends at {stop - first:,}"
            raise bad_field(cursor.path, visible(name, 80), problem)
        stop, before = start + _byte_count(cursor, name, kind, shape), name
        if stop > cursor.size:
            problem = f"ends at byte {stop:,}, and the file after {cursor.size:,}: it was cut short or is damaged"
            raise bad_field(cursor.path, visible(name, 80), problem)
        places[name] = GgufTensor(kind, shape, start, stop)
    return places


def _byte_count(cursor: Cursor, name: str, kind: BlockType, shape: tuple[int, ...]) -> int:
    if (shape[-1] if shape else 1) % kind.elements:
        problem = f"shape: rows of {kind.name} must hold a multiple of {kind.elements} elements"
        raise bad_field(cursor.path, visible(name, 80), problem, list(shape))
    return prod(shape) // kind.elements * kind.byte_count
