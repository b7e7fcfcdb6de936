"""Values in a mapped trace file: nothing is read before somebody looks."""

from __future__ import annotations

import mmap
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from tracetui.errors import InputError
from tracetui.trace.npz.members import StoredArray
from tracetui.trace.statistics import Statistics
from tracetui.trace.value import Array, Index


class MappedFile:
    """A whole file in the address space, shared by all of its values; freed with the last of them."""

    def __init__(self, path: Path, file: IO[bytes], size: int) -> None:
        self._path = path
        self._size = size
        try:
            self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: can't be mapped: {error}") from error

    def array(self, place: StoredArray) -> Array:
        """The array where it lies. Raises InputError if the file has shrunk: touching it would end the process."""
        if self._map.size() < self._size:
            raise InputError(f"{self._path}: {place.name}: the file was cut short while it was open")
        if 0 in place.shape:
            return np.empty(place.shape, place.dtype)
        return np.frombuffer(self._map, place.dtype, prod(place.shape), place.offset).reshape(place.shape)


class MappedValue:
    """A value in a trace file, with the statistics that the file gives for it."""

    def __init__(self, file: MappedFile, place: StoredArray, dtype: str, statistics: Statistics) -> None:
        self._file = file
        self._place = place
        self._dtype = dtype
        self._statistics = statistics

    @property
    def shape(self) -> tuple[int, ...]:
        return self._place.shape

    @property
    def dtype(self) -> str:
        return self._dtype

    def read(self, index: Index = ()) -> Array:
        stored = self._file.array(self._place)
        if stored.dtype == np.bool_:
            return np.asarray(stored.view(np.uint8)[index] != 0)
        return np.array(stored[index])

    def statistics(self) -> Statistics:
        return self._statistics
