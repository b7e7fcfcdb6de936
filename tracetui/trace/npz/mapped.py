"""Values in a mapped trace file: nothing is read before somebody looks."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np

from tracetui.errors import InputError, RunError
from tracetui.trace.npz.arrays import NpyError
from tracetui.trace.npz.members import StoredArray
from tracetui.trace.npz.packed import Packed, unpacked
from tracetui.trace.spill_file import SpillFile, spill_folder
from tracetui.trace.statistics import Statistics
from tracetui.trace.value import Array, Index


class MappedFile:
    """A whole file in the address space, shared by all of its values; freed with the last of them."""

    def __init__(self, path: Path, file: IO[bytes], size: int) -> None:
        self._path = path
        self._size = size
        self._lock = Lock()
        self._file: SpillFile | None = None
        self._known: dict[str, int] = {}
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
        if place.packed is not None:
            return self._unpacked(place, place.packed)
        flat = np.frombuffer(self._map, place.dtype, prod(place.shape), place.offset)
        return _laid_out(flat, place)

    def _unpacked(self, place: StoredArray, packed: Packed) -> Array:
        """The array in a file of its own, where it stays as long as this one is open."""
        with self._lock:
            at = self._known.get(place.name)
            if at is None:
                at = self._known[place.name] = self._unpack(place, packed)
        assert self._file is not None
        return _laid_out(self._file.array(at, place.dtype, (prod(place.shape),)), place)

    def _unpack(self, place: StoredArray, packed: Packed) -> int:
        try:
            file = self._file = self._file or SpillFile(spill_folder(), None)
            content = _without(packed.head, unpacked(self._read, place.offset, packed))
            at = file.add(packed.size - packed.head, content)
        except OSError as error:
            raise RunError(f"{self._path}: {place.name}: can't be unpacked: {error.strerror or error}") from error
        except NpyError as error:
            raise InputError(f"{self._path}: {place.name}: {error}") from error
        if at is None:
            raise RunError(f"{self._path}: {place.name}: can't be unpacked: {spill_folder()} has no room for it")
        return at

    def _read(self, offset: int, length: int) -> bytes:
        return self._map[offset : offset + length]


def _laid_out(flat: Array, place: StoredArray) -> Array:
    return flat.reshape(place.shape, order="F" if place.fortran else "C")


def _without(count: int, blocks: Iterator[bytes]) -> Iterator[memoryview]:
    """The blocks but their first bytes."""
    for block in blocks:
        skipped = min(count, len(block))
        count -= skipped
        yield memoryview(block)[skipped:]


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
