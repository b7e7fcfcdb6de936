"""What a safetensors file says that it holds, checked against the file before any of it is read.

The format: 8 bytes with the header's length, a JSON header naming each tensor's dtype, shape and bytes, then those
bytes without gaps. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NoReturn

import torch

from tracetui.errors import InputError, bad_field
from tracetui.formats.json_text import parse_json_object
from tracetui.paths import open_regular, refuse_disguised
from tracetui.recipe.shard_index import MAX_TENSORS
from tracetui.text import visible

MAX_HEADER_BYTES = 100_000_000
_MAX_RANK = 16
_MAX_SIZE = 2**53
LENGTH_BYTES = 8
"""Before the header, with its length."""
_ALIGNMENT = 8
_METADATA = "__metadata__"
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "BOOL": torch.bool, "C64": torch.complex64,
}  # fmt: skip
_LABELS = {dtype: label for label, dtype in _DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a file, and where its bytes lie, counted from the file's first."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def numel(self) -> int:
        return prod(self.shape)


def read_header(path: Path) -> dict[str, Stored]:
    """The tensors of a file, in the order of their bytes.

    Raises InputError reading `file: tensor: problem, got …` for a file that is not wholly there or not as it says.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(LENGTH_BYTES)
        refuse_disguised(path, head + file.read(64))
        length = int.from_bytes(head, "little")
        check_length(path, size, length)
        file.seek(LENGTH_BYTES)
        return parse_header(path, file.read(length), size)


def parse_header(path: Path, content: bytes, size: int) -> dict[str, Stored]:
    """The tensors that a header's JSON text names, checked against the size in bytes of the file that it stands in.

    Raises InputError as read_header does.
    """
    header = parse_json_object(content, path, MAX_TENSORS + 2)
    _check_metadata(path, header.pop(_METADATA, {}))
    first = LENGTH_BYTES + len(content)
    tensors = {name: _tensor(path, name, entry, first) for name, entry in header.items()}
    return _in_order(path, tensors, first, size)


def make_header(tensors: Mapping[str, Stored]) -> bytes:
    """The first bytes of a file that holds these tensors one after another, in this order."""
    entries, at = {}, 0
    for name, tensor in tensors.items():
        stop = at + tensor.stop - tensor.start
        entries[name] = {"dtype": _LABELS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, stop]}
        at = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def check_length(path: Path, size: int, length: int) -> None:
    """Refuse a file of `size` bytes whose header says that it has `length` itself."""
    if size < LENGTH_BYTES + 2:
        raise InputError(f"{path}: is cut short or no safetensors file: it has {size} bytes")
    if length > MAX_HEADER_BYTES:
        problem = f"at most {MAX_HEADER_BYTES:,} bytes are read; is this a safetensors file?"
        raise bad_field(path, "header", problem, length)
    if LENGTH_BYTES + length > size:
        raise InputError(f"{path}: header: has {length:,} bytes by its length, and the file ends after {size:,}")


def _check_metadata(path: Path, metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise bad_field(path, _METADATA, "must be a table of texts", metadata)


def _tensor(path: Path, name: str, entry: object, first: int) -> Stored:
    def fail(problem: str, value: object) -> NoReturn:
        raise bad_field(path, visible(name, 80), problem, value)

    if not isinstance(entry, Mapping):
        fail("must be a table with dtype, shape and data_offsets", entry)
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        fail("dtype: is none that tracetui knows", dtype)
    if not isinstance(shape, list) or not all(_is_size(length) for length in shape):
        fail("shape: must be a list of sizes", shape)
    if len(shape) > _MAX_RANK:
        fail(f"shape: must have at most {_MAX_RANK} axes", len(shape))
    if prod(max(1, length) for length in shape) > _MAX_SIZE:
        fail("shape: is larger than any file", shape)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
        fail("data_offsets: must be where its bytes begin and end", offsets)
    byte_count = prod(shape) * _DTYPES[dtype].itemsize
    if offsets[1] - offsets[0] != byte_count:
        fail(f"data_offsets: {dtype} of the shape {shape} has {byte_count:,} bytes", offsets)
    return Stored(_DTYPES[dtype], tuple(shape), first + offsets[0], first + offsets[1])


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_SIZE


def _in_order(path: Path, tensors: Mapping[str, Stored], first: int, size: int) -> dict[str, Stored]:
    """Refuse bytes that belong to two tensors or to none: a file that is longer or shorter than its header says."""
    at = first
    ordered = sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop))
    for name, tensor in ordered:
        if tensor.start != at:
            problem = f"data_offsets: must begin at {at - first:,}, where the tensor before ends"
            raise bad_field(path, visible(name, 80), problem, tensor.start - first)
        at = tensor.stop
    if at != size:
        kind = "is cut short" if at > size else "has bytes that belong to no tensor"
        raise InputError(f"{path}: {kind}: by its header it has {at:,} bytes, got {size:,}")
    return dict(ordered)
