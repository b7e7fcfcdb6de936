"""GGUF files written byte by byte, so that any field of them can be wrong."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64 = range(13)
_FORMS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}


def text(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(raw)) + raw


def value(kind: int, content: Any) -> bytes:
    return text(content) if kind == TEXT else struct.pack(f"<{_FORMS[kind]}", content)


def array(kind: int, items: Sequence[Any], count: int | None = None) -> bytes:
    head = struct.pack("<IQ", kind, len(items) if count is None else count)
    return head + b"".join(item if kind == ARRAY else value(kind, item) for item in items)


def entry(key: str | bytes, kind: int, content: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + content


@dataclass(frozen=True)
class Tensor:
    """`shape` is in the file's order, the elements that lie side by side first."""

    name: str
    shape: Sequence[int]
    kind: int
    offset: int

    def written(self) -> bytes:
        axes = b"".join(struct.pack("<Q", size) for size in self.shape)
        return text(self.name) + struct.pack("<I", len(self.shape)) + axes + struct.pack("<IQ", self.kind, self.offset)


def header(entries: Sequence[bytes], tensors: Sequence[Tensor | bytes], **fields: Any) -> bytes:
    """Everything before the tensors' bytes, padded; fields: `version`, `tensor_count`, `key_count`, `alignment`."""
    counts = (fields.get("tensor_count", len(tensors)), fields.get("key_count", len(entries)))
    head = b"GGUF" + struct.pack("<IQQ", fields.get("version", 3), *counts)
    rest = (tensor.written() if isinstance(tensor, Tensor) else tensor for tensor in tensors)
    content = head + b"".join(entries) + b"".join(rest)
    return content + bytes(-len(content) % fields.get("alignment", 32))


def usual(
    entries: Mapping[str, tuple[int, bytes]], tensors: Sequence[Tensor] = (), data: int = 0, **fields: Any
) -> bytes:
    """A file with these metadata and tensors, and so many bytes behind its header."""
    written = [entry(key, kind, content) for key, (kind, content) in entries.items()]
    return header(written, tensors, **fields) + bytes(data)
