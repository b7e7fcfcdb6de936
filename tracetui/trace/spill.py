"""Values on disk while a run goes on: a file without a name, so that it goes with the process however that ends."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from tracetui.trace.dumps.values import Decode
from tracetui.trace.statistics import Statistics
from tracetui.trace.value import Array, Index, StatisticsValue, Value

_PREFIX, _SUFFIX = "tracetui-", ".spill"
_STALE = 3600
"""Seconds after which a named file is nobody's: one has a name only for a moment, where files without don't exist."""


class SpillFile:
    """Grows by one value after another; closed, and so gone, with the last value that lies in it.

    Raises OSError if there can't be one in the folder.
    """

    def __init__(self, folder: Path, limit: int | None) -> None:
        """limit: bytes that it may take; None: half of what the disk has free."""
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        self._limit = shutil.disk_usage(folder).free // 2 if limit is None else limit
        file = tempfile.TemporaryFile(buffering=0, dir=folder, prefix=_PREFIX, suffix=_SUFFIX)  # noqa: SIM115
        weakref.finalize(self, file.close)
        self.descriptor = file.fileno()
        self._end = 0

    def add(self, size: int, blocks: Iterable[memoryview]) -> int | None:
        """Where the blocks, `size` bytes together, lie; None if there is no room. Raises OSError, nothing added."""
        start = -(-self._end // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        if start + size > self._limit:
            return None
        at = start
        for block in blocks:
            at += _write(self.descriptor, block, at)
        self._end = at
        return start


def _write(descriptor: int, block: memoryview, at: int) -> int:
    done = 0
    while done < len(block):
        done += os.pwrite(descriptor, block[done:], at + done)
    return done


def _sweep(folder: Path) -> None:
    with suppress(OSError):
        for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            if left.lstat().st_mtime < time.time() - _STALE:
                left.unlink()


@dataclass(frozen=True, eq=False, slots=True)
class SpilledValue:
    """A tensor in a spill file, as its own dtype's bytes; `decode` makes numbers of what numpy has no dtype for."""

    file: SpillFile
    offset: int
    stored: np.dtype[np.generic]
    shape: tuple[int, ...]
    dtype: str
    known: Statistics
    decode: Decode | None = None

    def read(self, index: Index = ()) -> Array:
        size = prod(self.shape)
        mapped = mmap.mmap(
            self.file.descriptor, size * self.stored.itemsize, offset=self.offset, access=mmap.ACCESS_READ
        )
        part = np.frombuffer(mapped, self.stored, size).reshape(self.shape)[index]
        return np.array(part) if self.decode is None else np.asarray(self.decode(part))

    def statistics(self) -> Statistics:
        return self.known


def whereabouts(value: Value) -> str:
    """What became of a value that isn't simply there: `spilled to disk`, `statistics only`; else empty."""
    if isinstance(value, SpilledValue):
        return "spilled to disk"
    return "statistics only" if isinstance(value, StatisticsValue) else ""
