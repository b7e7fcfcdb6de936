"""A file system on which the Nth operation goes wrong, under the real code that writes files."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_WRITES = set("wax")
"""What a mode has that writes."""
SHORT = object()
"""What a strike returns for a write that takes half of what it is given."""


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def broken_disk() -> None:
    raise OSError(errno.EIO, "Input/output error")


class Faults:
    """Counts what is asked of the file system, and lets `strike` loose at the Nth time; it fires once."""

    def __init__(self, nth: int, strike: Callable[[], object]) -> None:
        self.left = nth
        self.strike = strike

    @property
    def fired(self) -> bool:
        return self.left <= 0

    def __call__(self) -> object:
        self.left -= 1
        return self.strike() if self.left == 0 else None


class _CountedFile(io.FileIO):
    faults: Faults

    def write(self, content: ReadableBuffer) -> int:
        if self.faults() is SHORT:
            return super().write(memoryview(content).cast("B")[: max(1, memoryview(content).nbytes // 2)])
        return super().write(content)


def _written(faults: Faults, file: int | Path, mode: str) -> io.BufferedWriter:
    raw = _CountedFile(file, mode)
    raw.faults = faults
    return io.BufferedWriter(raw)


def _counted(faults: Faults, operation: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **named: Any) -> Any:
        faults()
        return operation(*arguments, **named)

    return run


@contextmanager
def injected(nth: int, strike: Callable[[], object]) -> Iterator[Faults]:
    """Every making, writing, syncing, chmod and renaming of a file of bytes counts as one operation."""
    faults = Faults(nth, strike)

    fdopen, path_open = os.fdopen, Path.open

    def fdopen_counted(descriptor: int, mode: str) -> IO[bytes]:
        return _written(faults, descriptor, mode) if set(mode) & _WRITES else fdopen(descriptor, mode)

    def path_open_counted(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> IO[Any]:
        if not set(mode) & _WRITES:
            return path_open(path, mode, *arguments, **named)
        faults()
        return _written(faults, path, mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", path_open_counted)
        patch.setattr(os, "fdopen", fdopen_counted)
        patch.setattr(os, "fsync", _counted(faults, os.fsync))
        patch.setattr(tempfile, "mkstemp", _counted(faults, tempfile.mkstemp))
        patch.setattr(Path, "replace", _counted(faults, Path.replace))
        patch.setattr(Path, "chmod", _counted(faults, Path.chmod))
        yield faults
