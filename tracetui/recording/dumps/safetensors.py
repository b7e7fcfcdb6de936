"""A safetensors file of named tensors, read without torch.

The format: 8 bytes with the header's length, a JSON header naming each tensor's dtype, shape and bytes, then those
bytes without gaps. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np

from tracetui.errors import InputError
from tracetui.formats.fields import Field, parse
from tracetui.formats.limits import MAX_HEADER, MAX_RECORDS
from tracetui.formats.narrow_floats import bfloat16, float8_e4m3, float8_e5m2, float8_e8m0
from tracetui.formats.npy import MAX_RANK, possible
from tracetui.formats.source import Source
from tracetui.formats.zip_arrays import StoredArray
from tracetui.paths import open_regular
from tracetui.recording.dumps.values import Decode, DumpValue, NamedValue, dump_trace
from tracetui.recording.npz.array_file import ArrayFile
from tracetui.recording.trace import Trace

_LENGTH_BYTES = 8
_METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class _Kind:
    """How tensors of one dtype lie in the file, and what makes numbers of them."""

    name: str
    stored: str
    decode: Decode | None = None


_KINDS = {
    "F64": _Kind("float64", "<f8"),
    "F32": _Kind("float32", "<f4"),
    "F16": _Kind("float16", "<f2"),
    "BF16": _Kind("bfloat16", "<u2", bfloat16),
    "F8_E4M3": _Kind("float8_e4m3fn", "u1", float8_e4m3),
    "F8_E5M2": _Kind("float8_e5m2", "u1", float8_e5m2),
    "F8_E8M0": _Kind("float8_e8m0fnu", "u1", float8_e8m0),
    "C64": _Kind("complex64", "<c8"),
    "BOOL": _Kind("bool", "?"),
    **{f"I{8 * size}": _Kind(f"int{8 * size}", f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": _Kind(f"uint{8 * size}", f"<u{size}") for size in (1, 2, 4, 8)},
}


def read_safetensors_dump(path: Path) -> Trace:
    """The tensors in the order of their bytes. Raises InputError reading `file: tensor: problem, got …`."""
    with open_regular(path) as file:
        source = Source(path, file)
        length = int.from_bytes(source.read(0, _LENGTH_BYTES, "header"), "little")
        if length > MAX_HEADER:
            raise source.wrong(f"is larger than {MAX_HEADER:,} bytes, got {length:,}", "header")
        header = parse(source.read(_LENGTH_BYTES, length, "header"), f"{path}: header")
        tensors = _tensors(header, _LENGTH_BYTES + length)
        _check_bytes(source, tensors, _LENGTH_BYTES + length)
        values_file = ArrayFile(source)
    return dump_trace(
        NamedValue(place.name, DumpValue(values_file, place, kind.name, kind.decode))
        for kind, place in sorted(tensors, key=lambda found: (found[1].offset, found[1].end))
    )


def _tensors(header: Field, first: int) -> list[tuple[_Kind, StoredArray]]:
    members = [(name, field) for name, field in header.members() if name != _METADATA]
    if not members:
        raise InputError(f"{header.where}: names no tensors")
    if len(members) > MAX_RECORDS:
        raise InputError(f"{header.where}: names more than {MAX_RECORDS:,} tensors, got {len(members):,}")
    return [_tensor(name, field, first) for name, field in members]


def _tensor(name: str, field: Field, first: int) -> tuple[_Kind, StoredArray]:
    kind = _KINDS.get(field["dtype"].text())
    if kind is None:
        raise field["dtype"].wrong("is none that tracetui knows")
    shape = tuple(length.whole() for length in field["shape"].items())
    if len(shape) > MAX_RANK or not possible(shape):
        raise field["shape"].wrong("is larger than any file")
    begin, end = _offsets(field["data_offsets"])
    stored = np.dtype(kind.stored)
    if end - begin != stored.itemsize * prod(shape):
        raise field["data_offsets"].wrong(f"its dtype and shape need {stored.itemsize * prod(shape):,} bytes")
    return kind, StoredArray(name, first + begin, stored, shape, first + end)


def _offsets(field: Field) -> tuple[int, int]:
    offsets = [offset.whole() for offset in field.items()]
    if len(offsets) != 2:
        raise field.wrong("must be where the tensor's bytes begin and end")
    return offsets[0], offsets[1]


def _check_bytes(source: Source, tensors: list[tuple[_Kind, StoredArray]], first: int) -> None:
    """Every byte belongs to one tensor: a file that is longer or shorter than its header says is refused."""
    places = sorted((place for _, place in tensors), key=lambda place: (place.offset, place.end))
    if places[0].offset != first:
        raise source.wrong("does not begin where the header ends", places[0].name)
    for before, place in pairwise(places):
        if place.offset != before.end:
            raise source.wrong("does not begin where the tensor before it ends", place.name)
    if places[-1].end != source.size:
        cut = "was cut short: " if places[-1].end > source.size else ""
        raise source.wrong(f"{cut}by its header the file has {places[-1].end:,} bytes, got {source.size:,}", "header")
