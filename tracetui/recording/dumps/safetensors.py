"""A safetensors file of named tensors, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracetui.errors import InputError
from tracetui.formats.limits import MAX_RECORDS
from tracetui.formats.narrow_floats import bfloat16, float8_e4m3, float8_e5m2, float8_e8m0
from tracetui.formats.safetensors import LENGTH_BYTES, header_length, parse_header
from tracetui.formats.source import Source
from tracetui.formats.zip_arrays import StoredArray
from tracetui.paths import open_regular
from tracetui.recording.dumps.values import DumpValue, NamedValue, dump_trace
from tracetui.recording.npz.array_file import ArrayFile
from tracetui.recording.trace import Trace
from tracetui.recording.value import Decode


@dataclass(frozen=True, slots=True)
class _Kind:
    """How tensors of one dtype lie in the file, and what makes numbers of them."""

    name: str
    stored: np.dtype[np.generic]
    decode: Decode | None = None


_KINDS = {
    "F64": _Kind("float64", np.dtype("<f8")),
    "F32": _Kind("float32", np.dtype("<f4")),
    "F16": _Kind("float16", np.dtype("<f2")),
    "BF16": _Kind("bfloat16", np.dtype("<u2"), bfloat16),
    "F8_E4M3": _Kind("float8_e4m3fn", np.dtype("u1"), float8_e4m3),
    "F8_E5M2": _Kind("float8_e5m2", np.dtype("u1"), float8_e5m2),
    "F8_E8M0": _Kind("float8_e8m0fnu", np.dtype("u1"), float8_e8m0),
    "C64": _Kind("complex64", np.dtype("<c8")),
    "BOOL": _Kind("bool", np.dtype("?")),
    **{f"I{8 * size}": _Kind(f"int{8 * size}", np.dtype(f"<i{size}")) for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": _Kind(f"uint{8 * size}", np.dtype(f"<u{size}")) for size in (1, 2, 4, 8)},
}


def read_safetensors_dump(path: Path) -> Trace:
    """The tensors in the order of their bytes. Raises InputError reading `file: tensor: problem, got …`."""
    with open_regular(path) as file:
        source = Source(path, file)
        length = header_length(path, source.size, source.read(0, min(LENGTH_BYTES, source.size)))
        header = source.read(LENGTH_BYTES, length, "header")
        tensors = parse_header(path, header, source.size, MAX_RECORDS)
        if not tensors:
            raise InputError(f"{path}: header: names no tensors")
        values_file = ArrayFile(source)
    named = []
    for name, tensor in tensors.items():
        kind = _KINDS[tensor.dtype]
        place = StoredArray(name, tensor.start, kind.stored, tensor.shape, tensor.stop)
        named.append(NamedValue(name, DumpValue(values_file, place, kind.name, kind.decode)))
    return dump_trace(named)
