"""Which arrays a trace file may hold, and how an npy header names them."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tracetui.formats.npy_text import TextError, parse_dict
from tracetui.text import visible

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
MAX_TEXT = 10_000
"""As much as numpy itself reads of a header."""
_TEXT = re.compile(rb"\{'descr': '([^'\\]{1,16})', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), \} *\n")

BFLOAT16_BITS = np.dtype("V2")
"""What numpy.savez writes for the bfloat16 of ml_dtypes, and so of JAX: two bytes, of no dtype of its own."""
_ORDERS = ("<", ">", "=", "|")
"""How a dtype's code may begin; the last two are this machine's order."""
_OTHER = re.compile(r"[<>|=]?(?:[OSaUVMm][0-9]*(?:\[[0-9A-Za-z]+\])?|[fc][0-9]+|[gG]|object|str|bytes|longdouble)")
"""dtypes of numpy's that are none of ours: objects, texts, bytes, dates, wider floats."""
_KEYS = {"descr", "fortran_order", "shape"}


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


@lru_cache(maxsize=256)
def text_place(start: bytes, own: bool = True) -> range:
    """Where the header text lies, from a member's first bytes, `LONGEST_PREFIX` of them; other versions than 1.0 only
    in a file not our own. Raises NpyError.
    """
    version, sized = start[len(_NUMPY) : len(MAGIC)], 2
    if not own and not start.startswith(_NUMPY):
        raise NoNumbersError("is no npy array")
    if not start.startswith(_NUMPY) or version not in _VERSIONS[: 1 if own else None]:
        raise NpyError(f"is not an npy array of version 1.0{'' if own else ', 2.0 or 3.0'}")
    if version != _VERSIONS[0]:
        sized = 4
    at = len(MAGIC) + sized
    length = int.from_bytes(start[len(MAGIC) : at], "little")
    if length > MAX_TEXT:
        raise NpyError(f"its npy header is longer than {MAX_TEXT:,} bytes, got {length:,}")
    return range(at, at + length)


@lru_cache(maxsize=4096)
def parse_text(text: bytes, own: bool = True) -> Head:
    """The header: in the one form that tracetui writes, or in a file not our own in any that the format allows.

    Raises NpyError.
    """
    return _parse_own(text) if own else _parse_any(text)


def _parse_own(text: bytes) -> Head:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise NpyError("its npy header is not one that numpy writes for an array of numbers")
    code = match[1].decode("latin-1")
    dtype = _BY_CODE.get(code)
    if dtype is None:
        raise NpyError(f"its dtype has no place in a trace file, got {visible(code, 80)!r}")
    if match[2] == b"True":
        raise NpyError("is in Fortran order; a trace file has C order")
    parts = [part.strip() for part in match[3].decode("ascii").split(",")]
    lengths = parts[:-1] if parts[-1] == "" else parts
    if len(lengths) > MAX_RANK or not all(part.isdigit() and len(part) < 20 for part in lengths):
        raise NpyError(f"its shape is not one of at most {MAX_RANK} lengths")
    return Head(dtype, _shape(tuple(map(int, lengths))))


def _parse_any(text: bytes) -> Head:
    """A dict of exactly three keys, however it is written."""
    try:
        header = parse_dict(text)
    except TextError as error:
        raise NpyError(f"its npy header is none: it {error}") from None
    if header.keys() != _KEYS:
        names = visible(", ".join(sorted(header)), 120) or "{}"
        raise NpyError(f"its npy header must have descr, fortran_order and shape, got {names}")
    code, fortran, lengths = (header[key] for key in ("descr", "fortran_order", "shape"))
    if not isinstance(code, str):
        kind = NoNumbersError if isinstance(code, list | tuple) else NpyError
        raise kind("its npy header is not one of an array of numbers, but of structures")
    dtype = _dtype_of_code(code)
    if dtype is None:
        kind = NoNumbersError if _OTHER.fullmatch(code) else NpyError
        raise kind(f"its dtype has no place in a trace file, got {visible(code, 80)!r}")
    if not isinstance(fortran, bool):
        raise NpyError("its npy header must say True or False for fortran_order")
    if not isinstance(lengths, tuple) or not all(isinstance(n, int) for n in lengths) or len(lengths) > MAX_RANK:
        raise NpyError(f"its shape is not one of at most {MAX_RANK} lengths")
    return Head(dtype, _shape(tuple(map(int, lengths))), fortran)


def _dtype_of_code(code: str) -> np.dtype[np.generic] | None:
    """The dtype that numpy takes a header's code for; None if it is none that is read."""
    order = code[:1] if code[:1] in _ORDERS else ""
    if code.removeprefix(order) == "V2" and order != ">":
        return BFLOAT16_BITS
    dtype = _BY_OTHER_NAME.get(code.removeprefix(order))
    if dtype is None or (order and len(code) > _LONGEST_CODE):
        return None
    is_big = order == ">" or (order != "<" and sys.byteorder == "big")
    return dtype.newbyteorder(">") if is_big else dtype


def _other_names() -> dict[str, np.dtype[np.generic]]:
    """Every allowed dtype under all that numpy takes for it after the byte order: `f4`, `f`, `float32`."""
    dtypes = {}
    letters = (*np.typecodes["AllInteger"], *np.typecodes["Float"], *np.typecodes["Complex"], "?")
    kinds = {**dict(zip(letters, letters, strict=True)), **np.sctypeDict}
    for name, kind in kinds.items():
        dtype = np.dtype(kind)
        if dtype.name in _STORABLE:
            dtypes[str(name)] = _STORABLE[dtype.name]
    for name, dtype in _STORABLE.items():
        dtypes[name] = dtypes[dtype.str[1:]] = dtype
    return dtypes


_BY_OTHER_NAME = _other_names()
_LONGEST_CODE = 4
"""`<c16`: names such as `float32` have no byte order."""


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
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
