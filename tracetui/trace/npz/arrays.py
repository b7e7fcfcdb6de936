"""Which arrays a trace file may hold, and how an npy header names them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

MAX_RANK = 64
MAX_LENGTH = 2**48
"""Elements along one axis, and bytes of one array: more than any file system holds in one file."""

_NAMES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
_STORABLE = {name: np.dtype(name).newbyteorder("<") for name in _NAMES}
_BY_CODE = {dtype.str: dtype for dtype in _STORABLE.values()}

_NUMPY, _VERSIONS = b"\x93NUMPY", (b"\x01\x00", b"\x02\x00", b"\x03\x00")
MAGIC = _NUMPY + _VERSIONS[0]
PREFIX = len(MAGIC) + 2
"""Bytes before the header text: the magic string with version 1.0, and the text's length."""
LONGEST_PREFIX = PREFIX + 2
"""The same of versions 2.0 and 3.0, whose length takes four bytes."""
MAX_TEXT = 4096
_TEXT = re.compile(rb"\{'descr': '([^'\\]{1,16})', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), \} *\n")

_FIELDS = re.compile(rb"\{'descr': \[\(")
"""How the header of an array of structures begins."""
_OTHER = re.compile(r"[<>|][OSUVMmfc][0-9]*(\[[0-9A-Za-z]+\])?")
"""dtypes of numpy's that are none of ours: objects, texts, bytes, dates, wider floats."""


def stored_as(dtype: str) -> np.dtype[np.generic]:
    """The array dtype that holds a tensor of `dtype`: its own, or float32 for bf16, fp8 and other narrow floats."""
    return _STORABLE.get(dtype, _STORABLE["float32"])


def npy_header(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    """The start of an npy file, version 1.0, as long as a multiple of 64 bytes."""
    lengths = f"({shape[0]},)" if len(shape) == 1 else f"({', '.join(map(str, shape))})"
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {lengths}, }}"
    padding = -(PREFIX + len(text) + 1) % 64
    text += " " * padding + "\n"
    return MAGIC + len(text).to_bytes(2, "little") + text.encode("ascii")


class NpyError(ValueError):
    """An npy header that no trace file has; the text says why."""


class NoNumbersError(NpyError):
    """The header is sound, but the array holds texts, objects, dates or what else is no number that is read."""


@dataclass(frozen=True, slots=True)
class Head:
    """What an npy header says."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    fortran: bool = False
    """Whether the first axis is the one whose values lie side by side."""


def text_place(start: bytes, own: bool = True) -> range:
    """Where the header text lies, from a member's first bytes, `LONGEST_PREFIX` of them; other versions than 1.0 only
    in a file not our own. Raises NpyError.
    """
    version, sized = start[len(_NUMPY) : len(MAGIC)], 2
    if not start.startswith(_NUMPY) or version not in _VERSIONS[: 1 if own else None]:
        raise NpyError(f"is not an npy array of version 1.0{'' if own else ', 2.0 or 3.0'}")
    if version != _VERSIONS[0]:
        sized = 4
    at = len(MAGIC) + sized
    length = int.from_bytes(start[len(MAGIC) : at], "little")
    if length > MAX_TEXT:
        raise NpyError(f"its npy header is longer than {MAX_TEXT:,} bytes, got {length:,}")
    return range(at, at + length)


def parse_text(text: bytes, own: bool = True) -> Head:
    """The header in the one form that numpy writes; other orders only in a file not our own. Raises NpyError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        kind = NoNumbersError if _FIELDS.match(text) else NpyError
        raise kind("its npy header is not one that numpy writes for an array of numbers")
    code = found[1].decode("latin-1")
    dtype = _BY_CODE.get(code if own else code.replace(">", "<", 1))
    if dtype is None:
        kind = NoNumbersError if _OTHER.fullmatch(code) else NpyError
        raise kind(f"its dtype has no place in a trace file, got {code!r}")
    fortran = found[2] == b"True"
    if fortran and own:
        raise NpyError("is in Fortran order; a trace file has C order")
    shape = _parse_shape(found[3].decode("ascii"))
    return Head(dtype.newbyteorder(">") if code.startswith(">") else dtype, shape, fortran)


def _parse_shape(lengths: str) -> tuple[int, ...]:
    parts = [part.strip() for part in lengths.split(",")]
    if parts[-1] == "":
        parts.pop()
    if len(parts) > MAX_RANK or not all(part.isdigit() and len(part) < 20 for part in parts):
        raise NpyError(f"its shape is not one of at most {MAX_RANK} lengths")
    shape = tuple(int(part) for part in parts)
    if not possible(shape):
        raise NpyError("its shape is larger than any file")
    return shape


def possible(shape: tuple[int, ...]) -> bool:
    """Whether numpy can hold such a shape, its zeros left out: numpy counts bytes without them."""
    product = 1
    for length in shape:
        product *= max(length, 1)
        if product > MAX_LENGTH:
            return False
    return len(shape) <= MAX_RANK
