"""The sums over two blocks of floats by the compiled library, in one pass over both."""

from __future__ import annotations

import ctypes

import numpy as np

from tracetui.analysis.diff.distances.rows import Floats
from tracetui.analysis.diff.rounding.tolerance import Tolerance
from tracetui.native.differences import FloatDifferences, add_differences
from tracetui.native.statistics import KINDS
from tracetui.recording.value import Array

_KINDS = {np.dtype(name): kind for name, kind in KINDS.items() if name != "bfloat16"}
"""By dtype in this machine's byte order: numpy has no bfloat16, and is given float32 for it."""


def differences_of(
    a: Array, b: Array, tolerance: Tolerance, whole: bool, judges: bool = False
) -> tuple[FloatDifferences, Floats] | None:
    """The sums over two blocks [n, width], and of their rows [4, n]: the squares of a - b, those of b, and by how much
    |a - b| - slack·rtol·|b| is at most, -1 where no element is far off. Only whole rows are held to the tolerance.

    If `judges` the blocks are all that there is: norms stand in place of the squares, and which row is the worst is
    told. None where there is no library or no code for these dtypes, and where an element isn't finite.
    """
    add, kind_a, kind_b = add_differences(), _KINDS.get(a.dtype), _KINDS.get(b.dtype)
    if add is None or kind_a is None or kind_b is None or not a.size:
        return None
    if not (a.flags.c_contiguous and b.flags.c_contiguous):
        return None
    rows: Floats = np.empty((4, len(a)))
    sums = FloatDifferences(tolerance.rtol, tolerance.slack, tolerance.atol, tolerance.per_row, whole)
    height, width = a.shape
    add(_address(a), kind_a, _address(b), kind_b, height, width, _address(rows), judges, sums)
    return (sums, rows) if sums.finite else None


def _address(array: Array) -> int:
    """Of the first element. To ask numpy takes five times as long, and longer than all that is done to a small one."""
    if not array.flags.writeable:
        return int(array.ctypes.data)
    return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
