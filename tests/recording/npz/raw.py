"""Zip files made byte by byte, so that each of their fields can lie."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.recording.made import small_trace
from tracetui.formats.npy import npy_header, stored_as
from tracetui.recording.npz import write_trace

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ARRAY = "model.embed_tokens"
"""The member that most of these files lie about."""
Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


@dataclass(frozen=True)
class Part:
    """One member: what stands in the file, and what its two headers say of it."""

    name: str
    content: bytes
    method: int = 0
    flags: int = 0
    size: int | None = None
    crc: int | None = None
    extra: bytes = b""
    local_name: str | None = None
    local_size: int | None = None
    local_crc: int | None = None
    offset: int | None = None
    listed: bool = True

    def numbers(self, size: int | None, crc: int | None) -> tuple[int, int, int]:
        unpacked = len(self.content) if size is None else size
        stored = len(self.content) if self.method else unpacked
        return (zlib.crc32(self.content) if crc is None else crc), stored, unpacked

    def local(self) -> bytes:
        name = (self.local_name or self.name).encode()
        size = self.size if self.local_size is None else self.local_size
        numbers = self.numbers(size, self.crc if self.local_crc is None else self.local_crc)
        lengths = (len(name), len(self.extra))
        fixed = struct.pack("<4s5H3I2H", b"PK\3\4", 20, self.flags, self.method, 0, 33, *numbers, *lengths)
        return fixed + name + self.extra + self.content

    def entry(self, at: int) -> bytes:
        name = self.name.encode()
        fixed = struct.pack(
            "<4s6H3I", b"PK\1\2", 20, 20, self.flags, self.method, 0, 33, *self.numbers(self.size, self.crc)
        )
        offset = at if self.offset is None else self.offset
        return fixed + struct.pack("<5H2I", len(name), 0, 0, 0, 0, 0, offset) + name


def pack(parts: Iterable[Part]) -> bytes:
    content, directory, count = b"", b"", 0
    for part in parts:
        if part.listed:
            directory += part.entry(len(content))
            count += 1
        content += part.local()
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(content), 0)
    return content + directory + end


def npy(array: Array) -> bytes:
    return npy_header(array.dtype, array.shape) + array.tobytes()


def text_npy(document: str) -> bytes:
    return npy_header(stored_as("uint8"), (len(document.encode()),)) + document.encode()


def good_parts(folder: Path) -> dict[str, Part]:
    """The members of a small trace, by key."""
    write_trace(small_trace(rows=3), folder / "good.npz")
    with np.load(folder / "good.npz") as file:
        return {name: Part(f"{name}.npy", npy(file[name])) for name in file.files}


def document_of(parts: Mapping[str, Part]) -> dict[str, object]:
    """The JSON header among the members."""
    found = json.loads(bytes(np.load(io.BytesIO(parts["__tracetui__"].content))))
    assert isinstance(found, dict)
    return found


def with_header(parts: Mapping[str, Part], document: str) -> bytes:
    """A file of these members with another JSON header."""
    header = replace(parts["__tracetui__"], content=text_npy(document))
    return pack({**parts, "__tracetui__": header}.values())


def changed(parts: Mapping[str, Part], **change: object) -> Iterator[Part]:
    return iter({**parts, ARRAY: replace(parts[ARRAY], **change)}.values())  # type: ignore[arg-type]


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def at(path: str, value: object) -> Callable[[dict[str, object]], None]:
    """A change to the JSON header: `value` (or nothing, for ...) at a path such as `records[3].shape`."""
    steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]

    def change(document: object) -> None:
        holder: object = document
        for step in steps[:-1]:
            holder = holder[step]  # type: ignore[index]
        if value is ...:
            del holder[steps[-1]]  # type: ignore[attr-defined]
        else:
            holder[steps[-1]] = value  # type: ignore[index]

    return change


class SparseFile(io.FileIO):
    """Leaves a hole where `ZEROS` is written."""

    ZEROS = bytes(1 << 26)

    def write(self, content: ReadableBuffer) -> int:
        return self.seek(len(content), io.SEEK_CUR) if content is self.ZEROS else super().write(content)
