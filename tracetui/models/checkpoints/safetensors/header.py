"""What a weight file says that it holds, in torch's dtypes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch

from tracetui.file_heads import HEAD_BYTES
from tracetui.formats import safetensors
from tracetui.formats.collector import collector_paused
from tracetui.formats.safetensors import LENGTH_BYTES, MAX_HEADER_BYTES, header_length
from tracetui.paths import open_regular, refuse_disguised
from tracetui.recipe.shard_index import MAX_TENSORS

__all__ = ["LENGTH_BYTES", "MAX_HEADER_BYTES", "Stored", "make_header", "parse_header", "read_header"]
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "BOOL": torch.bool, "C64": torch.complex64,
}  # fmt: skip
_LABELS = {dtype: label for label, dtype in _DTYPES.items()}


class Stored(NamedTuple):
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
        refuse_disguised(path, head + file.read(HEAD_BYTES - len(head)))
        length = header_length(path, size, head)
        file.seek(LENGTH_BYTES)
        return parse_header(path, file.read(length), size)


def parse_header(path: Path, content: bytes, size: int) -> dict[str, Stored]:
    """The tensors that a header's JSON text names, checked against the size in bytes of the file that it stands in.

    Raises InputError as read_header does.
    """
    places = safetensors.parse_places(path, content, size, MAX_TENSORS)
    with collector_paused():
        return {name: Stored(_DTYPES[dtype], shape, start, stop) for name, dtype, shape, start, stop in places}


def make_header(tensors: Mapping[str, Stored]) -> bytes:
    """The first bytes of a file that holds these tensors one after another, in this order."""
    return safetensors.make_header((name, _LABELS[tensor.dtype], tensor.shape) for name, tensor in tensors.items())
