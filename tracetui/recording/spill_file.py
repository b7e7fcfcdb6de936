"""A file without a name, so that it goes with the process however that ends."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np

from tracetui import paths
from tracetui.recording.value import Array

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

    def array(self, offset: int, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> Array:
        """What was added at an offset, mapped; not to be written to."""
        size = prod(shape)
        mapped = mmap.mmap(self.descriptor, size * dtype.itemsize, offset=offset, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, dtype, size).reshape(shape)


def spill_folder() -> Path:
    """Where spill files lie unless somebody says otherwise."""
    return paths.cache_dir() / "spill"


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
