"""A plain npz file: named arrays, as numpy.savez writes them, without tracetui's header."""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from tracetui.errors import InputError
from tracetui.formats.narrow_floats import bfloat16
from tracetui.formats.npy import BFLOAT16_BITS
from tracetui.formats.source import Source
from tracetui.formats.zip_arrays import StoredArray, locate_all, locate_npy
from tracetui.formats.zip_directory import may_list, read_directory
from tracetui.paths import open_regular
from tracetui.recording.dumps.values import DumpValue, NamedValue, dump_trace
from tracetui.recording.npz.array_file import ArrayFile, OpenArrays
from tracetui.recording.npz.names import HEADER
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.text import visible

_SHOWN = 8
"""Names of members that are left out."""
_NAME = re.compile(r"[^\x00]{0,1004}", re.DOTALL)
"""A name may be anything, such as `blocks/0/attn`, as no path is ever made of it."""


def has_header(path: Path) -> bool:
    """Whether an npz file says of itself that it is a trace. Raises InputError."""
    name = f"{HEADER}.npy"
    with open_regular(path) as file:
        source = Source(path, file)
        # The list is read once more for what else is in it.
        if not may_list(source, name):
            return False
        directory = read_directory(source, is_member_name)
    return any(member.name == name for member in directory.members)


def read_npz_dump(path: Path) -> Trace:
    """The arrays in the file's order; a note says which members hold no numbers.

    Raises InputError naming the file and the member that is wrong.
    """
    left_out: dict[str, str] = {}
    with open_regular(path) as file:
        source = Source(path, file)
        arrays = locate_all(source, read_directory(source, is_member_name), left_out)
        if not arrays:
            raise InputError(f"{path}: holds no arrays{_first(left_out)}")
        values_file = ArrayFile(source)
    notes = (_note(left_out),) if left_out else ()
    return dump_trace(
        (NamedValue(_text(name), stored_value(values_file, place)) for name, place in arrays.items()), notes
    )


def stored_value(file: OpenArrays, place: StoredArray) -> DumpValue:
    """The array at a place in a file, bfloat16 as such."""
    if place.dtype == BFLOAT16_BITS:
        return DumpValue(file, place, "bfloat16", lambda array: bfloat16(array.view(np.dtype("<u2"))))
    return DumpValue(file, place, _dtype_name(place.dtype), None if place.dtype.isnative else _native)


@cache
def _dtype_name(dtype: np.dtype[np.generic]) -> str:
    """numpy puts the name together anew each time."""
    return str(dtype.name)


def _native(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("="))


def _note(left_out: dict[str, str]) -> str:
    names = ", ".join(visible(_text(name), 40) for name in islice(left_out, _SHOWN))
    more = f" and {len(left_out) - _SHOWN:,} more" if len(left_out) > _SHOWN else ""
    return f"left out, because they hold no numbers that are read: {names}{more}"


def _first(left_out: dict[str, str]) -> str:
    return next((f" of numbers: {visible(_text(name), 80)}: {why}" for name, why in left_out.items()), "")


def _text(name: str) -> str:
    """A member's name as it was given: zip files have UTF-8 where it isn't ASCII."""
    return name.encode("latin-1").decode("utf-8", errors="replace")


def is_member_name(member: str) -> bool:
    return _NAME.fullmatch(member) is not None


def read_npy_dump(path: Path) -> Trace:
    """The one array of an npy file, under the file's name without its ending. Raises InputError."""
    with open_regular(path) as file:
        source = Source(path, file)
        array = locate_npy(source, path.name)
        values_file = ArrayFile(source)
    return dump_trace([NamedValue(path.stem, stored_value(values_file, array))])
