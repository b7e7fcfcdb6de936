"""Which elements of a tensor are put together, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracetui.recording.statistics import Statistics, of_array
from tracetui.recording.value import Array, Index, Value


@dataclass(frozen=True, slots=True)
class Gather:
    """Which elements of a tensor's axes are taken, row by row."""

    rows: tuple[int, ...]
    axes: tuple[tuple[int, tuple[tuple[int, ...], ...]], ...]
    """Axes, and of each common row the places along it; -1 is filled with zeros."""
    split: tuple[int, ...] = ()
    """The shape that an axis of batch and tokens in one is first divided to; empty if there is none."""
    joined: bool = False
    batch: bool = True

    def apply(self, array: Array) -> Array:
        array = array.reshape(self.split) if self.split else array
        array = array[list(self.rows)] if self.batch else array
        for axis, places in self.axes:
            array = _taken(array, axis, np.array(places, np.intp), self.batch)
        return array.reshape(-1, *array.shape[2:]) if self.joined else array


def _taken(array: Array, axis: int, places: Array, batch: bool) -> Array:
    if not batch:
        same: Array = np.take(array, places[0], axis=axis)
        return same
    rows = [np.take(row, np.maximum(at, 0), axis=axis - 1) for row, at in zip(array, places, strict=True)]
    for row, at in zip(rows, places, strict=True):
        row.swapaxes(0, axis - 1)[at < 0] = 0
    return np.stack(rows)


class GatheredValue:
    """Parts of another value, put together when they are read."""

    def __init__(self, value: Value, gather: Gather) -> None:
        self._value = value
        self._gather = gather
        blank = gather.apply(np.zeros(value.shape, np.bool_))
        self._shape = tuple(blank.shape)
        self._statistics: Statistics | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> str:
        return self._value.dtype

    def read(self, index: Index = ()) -> Array:
        return np.array(self._gather.apply(self._value.read())[index])

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = of_array(self.read())
        return self._statistics
