"""A tensor cut into parts of bounded size, so that none is ever read whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from tracetui.recording.statistics import Statistics, merged, of_array
from tracetui.recording.value import Array, Index, Value, magnitudes

BLOCK = 1 << 15
"""Elements read at one time: few enough to stay in the processor's cache."""
Numbers = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def blocks(shape: tuple[int, ...], limit: int) -> Iterator[Index]:
    """Indices that together cover an array once, each of at most `limit` elements where a single row allows it."""
    if not shape:
        yield ()
        return
    row = math.prod(shape[1:])
    if row <= limit:
        step = max(1, limit // max(row, 1))
        yield from ((slice(start, start + step),) for start in range(0, shape[0], step))
        return
    for at in range(shape[0]):
        yield from ((at, *rest) for rest in blocks(shape[1:], limit))


def as_floats(array: Array) -> Numbers:
    """The same numbers as float32 where that holds each of them, else as float64; complex ones as their magnitude."""
    real = magnitudes(array)
    if real.dtype.itemsize <= 2 or real.dtype == np.float32:
        return np.asarray(real, np.float32, order="C")
    return np.asarray(real, np.float64, order="C")


def counted_statistics(value: Value, limit: int, is_cancelled: Callable[[], bool] = lambda: False) -> Statistics:
    """The statistics of what is read, `limit` elements at a time.

    Those that a file tells may be wrong, and then no bin and no share would hold. Once it is cancelled no more is
    read. Raises NotKeptError.
    """
    parts = (index for index in blocks(value.shape, limit) if not is_cancelled())
    return merged(of_array(np.asarray(value.read(index))) for index in parts)
