"""Values in files that other programs read: safetensors with all of them, npy with one array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from typing import IO

import numpy as np

from tracetui.errors import RunError
from tracetui.formats.npy import npy_header, stored_as
from tracetui.recording.npz.writer import blocks
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, Index, Value, is_kept
from tracetui.text import visible

_KINDS = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "complex64": "C64",
    "bool": "BOOL",
    **{f"int{8 * size}": f"I{8 * size}" for size in (1, 2, 4, 8)},
    **{f"uint{8 * size}": f"U{8 * size}" for size in (1, 2, 4, 8)},
}
_METADATA = "__metadata__"


def write_safetensors(trace: Trace, file: IO[bytes]) -> int:
    """Write every kept tensor once, bf16 as such and narrower floats as float32; returns how many.

    `aliases` in the metadata names the keys that share a tensor, `dtypes` the tensors' own where another is stored.
    Raises RunError naming a tensor of which safetensors has no kind.
    """
    found, aliases = _distinct(trace)
    header: dict[str, object] = {_METADATA: _metadata(found, aliases)}
    offset = 0
    for key, record in found.items():
        size = prod(record.shape) * _itemsize(record)
        header[key] = {"dtype": _kind(record), "shape": list(record.shape), "data_offsets": [offset, offset + size]}
        offset += size
    document = json.dumps(header, separators=(",", ":")).encode("ascii")
    document += b" " * (-len(document) % 8)
    file.write(len(document).to_bytes(8, "little") + document)
    for record in found.values():
        for part in _content(trace.value(record), record.dtype):
            file.write(part.data)
    return len(found)


def write_npy(value: Value, index: Index, file: IO[bytes]) -> tuple[int, ...]:
    """Write one array, or the part `index` of it, as numpy.save would; returns its shape."""
    if index:
        part = np.asarray(value.read(index), order="C")
        file.write(npy_header(part.dtype.newbyteorder("<"), part.shape) + part.tobytes())
        return part.shape
    file.write(npy_header(stored_as(value.dtype), value.shape))
    for array in _blocks(value):
        file.write(array.reshape(-1).view(np.uint8).data)
    return value.shape


def _distinct(trace: Trace) -> tuple[dict[str, Record], dict[str, str]]:
    """The first record of each kept value by key, and for further keys the one that has their values."""
    found: dict[str, Record] = {}
    aliases: dict[str, str] = {}
    known: dict[int, str] = {}
    for record, value in zip(trace.records, trace.values, strict=True):
        if not is_kept(value):
            continue
        key = _free(record, found, aliases)
        if id(value) in known:
            aliases[key] = known[id(value)]
        else:
            found[key] = record
            known[id(value)] = key
    return found, aliases


def _free(record: Record, *taken: dict[str, object] | dict[str, Record] | dict[str, str]) -> str:
    """The record's key; with its number where a file of somebody's own uses one twice, or a reserved one."""
    key = record.key
    return f"{key}~{record.index}" if key == _METADATA or any(key in keys for keys in taken) else key


def _metadata(found: dict[str, Record], aliases: dict[str, str]) -> dict[str, str]:
    own = {key: record.dtype for key, record in found.items() if record.dtype not in _KINDS}
    told = {"aliases": aliases, "dtypes": own}
    return {"written_by": "tracetui"} | {name: json.dumps(value) for name, value in told.items() if value}


def _kind(record: Record) -> str:
    kind = _KINDS.get(record.dtype) or _KINDS.get(stored_as(record.dtype).name)
    if kind is None:
        raise RunError(f"{visible(record.key)}: safetensors has no {visible(record.dtype, 40)}; --npy exports it alone")
    return kind


def _itemsize(record: Record) -> int:
    return 2 if record.dtype == "bfloat16" else stored_as(record.dtype).itemsize


def _content(value: Value, dtype: str) -> Iterator[Array]:
    for array in _blocks(value):
        if dtype == "bfloat16":
            # The upper half of a float32 is the bf16 that it came from.
            yield np.ascontiguousarray(array.reshape(-1).view("<u2")[1::2]).view(np.uint8)
        else:
            yield array.reshape(-1).view(np.uint8)


def _blocks(value: Value) -> Iterator[Array]:
    """The values part by part, little endian, in C order."""
    stored = stored_as(value.dtype)
    for index in blocks(value.shape, stored.itemsize):
        yield np.ascontiguousarray(value.read(index), dtype=stored)
