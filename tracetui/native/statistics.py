"""The statistics of floats that lie one beside the other in memory, by the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from tracetui.native.library import library

KINDS = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3}
"""The dtypes that it knows, by the names that torch and numpy give them."""


class FloatSums(ctypes.Structure):
    """What statistics.c calls Statistics, field by field."""

    _fields_ = (
        ("squares", ctypes.c_double),
        ("mean", ctypes.c_double),
        ("deviations", ctypes.c_double),
        ("low", ctypes.c_double),
        ("high", ctypes.c_double),
        ("finite", ctypes.c_int64),
        ("nan", ctypes.c_int64),
        ("positive_infinities", ctypes.c_int64),
        ("negative_infinities", ctypes.c_int64),
        ("zeros", ctypes.c_int64),
    )
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


def sums_at(address: int, numel: int, dtype: str) -> FloatSums | None:
    """FloatSums over `numel` elements from `address` on; None where there is no library, or none for this dtype."""
    kind, add = KINDS.get(dtype), _add_statistics()
    if kind is None or add is None:
        return None
    sums = FloatSums()
    add(address, numel, kind, sums)
    return sums


@cache
def _add_statistics() -> Callable[[int, int, int, FloatSums], None] | None:
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_add_statistics
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32, ctypes.POINTER(FloatSums))
    function.restype = None
    return function
