"""Reads a part of an array in a file: only the bytes from its first to its last element, or those of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from tracetui.recording.value import Array, Index

ReadInto = Callable[[memoryview, int], None]
"""Fills a buffer with the file's bytes from an offset on. May raise."""
_AT_ONCE = 1 << 18
"""Gaps between elements of up to so many bytes are read along with them."""


def read_part(
    read_into: ReadInto, offset: int, dtype: np.dtype[np.generic], shape: Sequence[int], index: Index
) -> Array:
    """The part `index` of an array in C order whose first element lies at an offset."""
    if not index:
        whole: Array = np.empty(shape, dtype)
        if whole.size:
            read_into(_bytes(whole), offset)
        return whole
    kept, steps = tuple(range(size) for size in shape), []
    for axis, chosen in enumerate(index):
        kept = (*kept[:axis], _chosen(kept[axis], chosen), *kept[axis + 1 :])
        steps.append(0 if not isinstance(chosen, slice) else slice(None, None, -1 if kept[axis].step < 0 else 1))
    # Read forwards, turned round afterwards.
    kept = tuple(each[::-1] if each.step < 0 else each for each in kept)
    out = np.empty([len(each) for each in kept], dtype)
    if out.size:
        _fill(read_into, offset, shape, kept, out)
    part: Array = out[tuple(steps)]
    return part


def _chosen(axis: range, chosen: int | slice) -> range:
    """Raises IndexError for an element that isn't there."""
    if isinstance(chosen, slice):
        return axis[chosen]
    place = axis[chosen]
    return range(place, place + 1)


def _fill(read_into: ReadInto, offset: int, shape: Sequence[int], kept: Sequence[range], out: Array) -> None:
    """Read the elements `kept` along every axis of an array of this shape into `out`."""
    if not kept:
        read_into(_bytes(out), offset)
        return
    first, row = kept[0], out.dtype.itemsize * prod(shape[1:])
    rest_is_whole = all(len(each) == size for each, size in zip(kept[1:], shape[1:], strict=True))
    if rest_is_whole and first.step == 1:
        read_into(_bytes(out), offset + first[0] * row)
        return
    count = first[-1] - first[0] + 1
    if count * row <= _AT_ONCE:
        around = np.empty((count, *shape[1:]), out.dtype)
        read_into(_bytes(around), offset + first[0] * row)
        out[...] = around[(slice(None, None, first.step), *(slice(e[0], e[-1] + 1, e.step) for e in kept[1:]))]
        return
    for place, at in enumerate(first):
        _fill(read_into, offset + at * row, shape[1:], kept[1:], out[place : place + 1].reshape(out.shape[1:]))


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
