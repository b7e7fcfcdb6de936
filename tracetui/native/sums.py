"""Samples of tensors in runs of elements, by the compiled library: whether one is two others added up."""

from __future__ import annotations

import ctypes
import math
from array import array
from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import NamedTuple

from tracetui.native.library import address_of, library
from tracetui.native.statistics import Rows


class SumSample(NamedTuple):
    """What sums.c calls SumSample, field by field."""

    total_squares: float
    stream_squares: float
    moved: int
    """How many elements of the total aren't the stream's."""
    equal: bool
    """Whether each element of the total is what adding the other two makes; if not, nothing else is told."""


class Runs(NamedTuple):
    """Which elements are looked at: runs of those that lie one beside the other."""

    starts: array[int]
    length: int

    @property
    def elements(self) -> int:
        """How many elements all of them have."""
        return len(self.starts) * self.length


class Remainder(NamedTuple):
    """The norm of a sample of a tensor, and that of what others leave of it; NaN where an element isn't finite."""

    total: float
    left: float


_LAYOUT, _PAIR = Struct("=2d2q"), Struct("=2d")


def look_at_sums(addresses: array[int], kind: int, runs: Runs) -> list[SumSample] | None:
    """A sample of each sum; None where there is no library.

    addresses: of the total, of the stream and of what was added to it, of one sum behind the other. kind: one of KINDS.
    """
    look = _look_at_sums()
    if look is None:
        return None
    count = len(addresses) // 3
    samples = bytearray(_LAYOUT.size * count)
    look(addresses.buffer_info()[0], count, kind, *_described(runs), address_of(samples))
    return list(map(SumSample._make, _LAYOUT.iter_unpack(samples)))


def left_of_sum(rows: Rows, runs: Runs) -> Remainder | None:
    """What the best multiples of all tensors but the first leave of that one; None where there is no library."""
    left_of, count = _left_of_sum(), len(rows) // 3
    if left_of is None:
        return None
    values, squares = bytearray(8 * runs.elements * count), bytearray(_PAIR.size)
    left_of(rows.buffer_info()[0], count, *_described(runs), address_of(values), address_of(squares))
    return Remainder(*map(math.sqrt, _PAIR.unpack(squares)))


def _described(runs: Runs) -> tuple[int, int, int]:
    """Where their beginnings lie, how many they are, and how long each is."""
    return runs.starts.buffer_info()[0], len(runs.starts), runs.length


@cache
def _look_at_sums() -> Callable[[int, int, int, int, int, int, int], None] | None:
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_look_at_sums
    number, address = ctypes.c_int64, ctypes.c_void_p
    function.argtypes = (address, number, number, address, number, number, address)
    function.restype = None
    return function


@cache
def _left_of_sum() -> Callable[[int, int, int, int, int, int, int], None] | None:
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_left_of_sum
    number, address = ctypes.c_int64, ctypes.c_void_p
    function.argtypes = (address, number, address, number, number, address, address)
    function.restype = None
    return function
