"""What compiled code tells of floats that lie one beside the other: their statistics, and whether all are finite."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import NamedTuple, TypeAlias

from tracetui.native.library import address_of, library
from tracetui.native.threads import run_in_parts

KINDS = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3}
"""The dtypes that it knows, by the names that torch and numpy give them."""
Rows: TypeAlias = "array[int]"
"""Where floats lie, in an `array("q")`: of each row the address of its first element, their number and their kind."""
_NUMBERS = 3
"""Of a row."""
_BYTES = 8 * _NUMBERS


class FloatSums(NamedTuple):
    """What statistics.c calls Statistics, field by field."""

    squares: float
    mean: float
    deviations: float
    low: float
    high: float
    finite: int
    nan: int
    positive_infinities: int
    negative_infinities: int
    zeros: int


_LAYOUT = Struct("=5d5q")


def sums_of(rows: Rows) -> list[FloatSums] | None:
    """FloatSums over each row, in one call; None where there is no library."""
    add = _add_statistics()
    if add is None:
        return None
    sums = bytearray(_LAYOUT.size * (len(rows) // _NUMBERS))
    where, made = rows.buffer_info()[0], address_of(sums)

    def add_part(first: int, end: int, parallel: int, threads: int) -> None:
        add(where + first * _BYTES, end - first, made + first * _LAYOUT.size, parallel, threads)

    run_in_parts(add_part, rows[1::_NUMBERS])
    return list(map(FloatSums._make, _LAYOUT.iter_unpack(sums)))


def first_not_finite(rows: Rows) -> int | None:
    """The place of the first row in which an element is NaN or infinite, or how many rows there are if none is.

    None where there is no library.
    """
    find = finder()
    if find is None:
        return None
    where, found = rows.buffer_info()[0], [len(rows) // _NUMBERS]

    def find_in_part(first: int, end: int, parallel: int, threads: int) -> None:
        place = find(where + first * _BYTES, end - first, parallel, threads)
        if place < end - first:
            found.append(first + place)

    run_in_parts(find_in_part, rows[1::_NUMBERS])
    return min(found)


@cache
def _add_statistics() -> Callable[[int, int, int, int, int], None] | None:
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_add_statistics
    function.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    function.restype = None
    return function


@cache
def finder() -> Callable[[int, int, int, int], int] | None:
    """The function behind `first_not_finite`, by the address of rows, how many they are, and the threads for it."""
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_first_not_finite
    function.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
    function.restype = ctypes.c_int64
    return function
