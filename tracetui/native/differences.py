"""How far apart two matrices of floats are, row by row, by the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from tracetui.native.library import library


class FloatDifferences(ctypes.Structure):
    """What differences.c calls Differences, field by field: first what is allowed, then what comes out."""

    _fields_ = (
        ("rtol", ctypes.c_double),
        ("slack", ctypes.c_double),
        ("atol", ctypes.c_double),
        ("per_row", ctypes.c_double),
        ("counts", ctypes.c_int64),
        ("greatest", ctypes.c_double),
        ("greatest_ratio", ctypes.c_double),
        ("square_a", ctypes.c_double),
        ("dot", ctypes.c_double),
        ("off", ctypes.c_int64),
        ("far_rows", ctypes.c_int64),
        ("finite", ctypes.c_int64),
        ("equal", ctypes.c_int64),
        ("difference", ctypes.c_double),
        ("reference", ctypes.c_double),
        ("row", ctypes.c_int64),
        ("column", ctypes.c_int64),
        ("judged", ctypes.c_double),
        ("apart", ctypes.c_double),
        ("norm", ctypes.c_double),
        ("usual", ctypes.c_double),
        ("worst_a", ctypes.c_double),
        ("worst_b", ctypes.c_double),
        ("levelled", ctypes.c_double),
    )
    rtol: float
    slack: float
    atol: float
    per_row: float
    counts: int
    greatest: float
    greatest_ratio: float
    square_a: float
    dot: float
    off: int
    far_rows: int
    finite: int
    equal: int
    difference: float
    reference: float
    row: int
    column: int
    judged: float
    apart: float
    norm: float
    usual: float
    worst_a: float
    worst_b: float
    levelled: float


Add = Callable[[int, int, int, int, int, int, int, int, FloatDifferences], None]


@cache
def add_differences() -> Add | None:
    """`add(a, kind, b, kind, rows, width, of_rows, judges, differences)` over addresses; None without a library."""
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_differences
    matrix, size = (ctypes.c_void_p, ctypes.c_int32), ctypes.c_size_t
    function.argtypes = (
        *matrix,
        *matrix,
        size,
        size,
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.POINTER(FloatDifferences),
    )
    function.restype = None
    return function
