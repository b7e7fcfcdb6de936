"""Values in an open trace file: nothing is read before somebody looks, and nothing once the file has changed."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from math import prod
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np

from tracetui.errors import FileChangedError, InputError, RunError
from tracetui.file_state import check_unchanged
from tracetui.formats.npy import NpyError
from tracetui.formats.packed import Packed, unpacked
from tracetui.formats.source import Source
from tracetui.formats.zip_arrays import StoredArray
from tracetui.recording.npz.part import read_part
from tracetui.recording.spill_file import SpillFile, spill_folder
from tracetui.recording.value import Array, Index

_AGAIN = "open it again"


class ArrayFile:
    """A file that stays open as long as one of its values is there.

    It is read, never mapped: touching what was cut off a mapped file ends the process.
    """

    def __init__(self, source: Source) -> None:
        """Raises FileChangedError if the file was written since the source was opened."""
        self.path = source.path
        self._state = source.state
        self._descriptor = os.dup(source.descriptor)
        weakref.finalize(self, os.close, self._descriptor)
        self._lock = Lock()
        self._file: SpillFile | None = None
        self._known: dict[str, int] = {}
        self._check()

    def read(self, place: StoredArray, index: Index = ()) -> Array:
        """The part `index` of an array, the caller's own. Raises FileChangedError, and InputError for damaged bytes."""
        shape, index = (
            (place.shape[::-1], _reversed(index, len(place.shape))) if place.fortran else (place.shape, index)
        )
        if 0 in shape:
            part: Array = np.empty(shape, place.dtype)[index]
        elif place.packed is not None:
            part = self._unpacked(place, place.packed, shape)[index]
        else:
            part = read_part(self._read_into, place.offset, place.dtype, shape, index)
        # Only now: written while it was read, it would be of both.
        self._check()
        part = part.T if place.fortran else part
        if part.dtype == np.bool_:
            # A byte that is neither 0 nor 1 counts as true, and may not stay as it is.
            return np.asarray(part.view(np.uint8) != 0)
        # One element is no array, and what was unpacked is the file's own.
        is_own = place.packed is None and part.shape and part.flags.c_contiguous
        return part if is_own else np.array(part)

    def _unpacked(self, place: StoredArray, packed: Packed, shape: tuple[int, ...]) -> Array:
        """The array in a file of its own, where it stays as long as this one is open."""
        with self._lock:
            at = self._known.get(place.name)
            if at is None:
                at = self._known[place.name] = self._unpack(place, packed)
        assert self._file is not None
        return self._file.array(at, place.dtype, shape)

    def _unpack(self, place: StoredArray, packed: Packed) -> int:
        try:
            file = self._file = self._file or SpillFile(spill_folder(), None)
            content = _without(packed.head, unpacked(self._read, place.offset, packed))
            at = file.add(packed.size - packed.head, content)
        except OSError as error:
            raise RunError(f"{self.path}: {place.name}: can't be unpacked: {error.strerror or error}") from error
        except NpyError as error:
            self._check()
            raise InputError(f"{self.path}: {place.name}: {error}") from error
        if at is None:
            raise RunError(f"{self.path}: {place.name}: can't be unpacked: {spill_folder()} has no room for it")
        self._check()
        return at

    def _read(self, offset: int, length: int) -> bytes:
        content = bytearray(length)
        self._read_into(memoryview(content), offset)
        return bytes(content)

    def _read_into(self, buffer: memoryview, offset: int) -> None:
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._descriptor, [buffer[done:]], offset + done)
            except OSError as error:
                raise RunError(f"{self.path}: can't be read: {error.strerror or error}") from error
            if not count:
                raise FileChangedError(self.path, _AGAIN)
            done += count

    def _check(self) -> None:
        """By what is open, not by its name: a file that another one replaced keeps its values."""
        check_unchanged(self.path, self._descriptor, self._state, _AGAIN)


def _reversed(index: Index, axes: int) -> Index:
    return (*index, *(slice(None) for _ in range(axes - len(index))))[::-1]


def _without(count: int, blocks: Iterator[bytes]) -> Iterator[memoryview]:
    """The blocks but their first bytes."""
    for block in blocks:
        skipped = min(count, len(block))
        count -= skipped
        yield memoryview(block)[skipped:]


class OpenArrays(Protocol):
    """What the arrays of a file are read from."""

    path: Path

    def read(self, place: StoredArray, index: Index = ()) -> Array: ...


class StoredValue:
    """An array in an open file, of which nothing is read before it is asked for."""

    __slots__ = ("_dtype", "_file", "_place")

    def __init__(self, file: OpenArrays, place: StoredArray, dtype: str) -> None:
        """dtype: as the record has it, which numpy may not have."""
        self._file = file
        self._place = place
        self._dtype = dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._place.shape

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._file.path

    @property
    def stored_bytes(self) -> int:
        """What the values take unpacked, in the dtype in which the file has them."""
        return self._place.dtype.itemsize * prod(self._place.shape)

    @property
    def checksum(self) -> int:
        """What the file gives for the values and their npy header; 0 where it gives none."""
        return self._place.crc

    def read(self, index: Index = ()) -> Array:
        return self._file.read(self._place, index)
