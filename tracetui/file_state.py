"""Whether a file is still as it was when it was opened: read on, one that was written since gives other numbers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from tracetui.errors import FileChangedError

_COARSE_CLOCK: int | None = getattr(time, "CLOCK_REALTIME_COARSE", None)
"""By which Linux dates what is written, a few milliseconds at a time."""
_LONGEST_TICK = 20_000_000
"""Nanoseconds."""


class FileState(NamedTuple):
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int
    modified: int
    """Nanoseconds."""


def state_of(file: Path | int) -> FileState | None:
    """The state of the file at a path or of an open one; None if it is gone."""
    try:
        status = os.stat(file)  # noqa: PTH116 - of a descriptor too
    except OSError:
        return None
    return FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def settled_state(file: Path | int) -> FileState | None:
    """The state of a file, certain to differ after any later write; None if the file is gone.

    A file written twice within one tick of its file system's clock keeps its date, so that tick is waited for.
    """
    state = state_of(file)
    while state is not None and _may_keep_date(state.modified):
        time.sleep(0.001)
        state = state_of(file)
    return state


def check_unchanged(path: Path, file: Path | int, before: FileState | None, again: str) -> None:
    """Raise FileChangedError unless a file, at a path or open, is as it was. again: what to do then, in words."""
    if before is None or state_of(file) != before:
        raise FileChangedError(path, again)


def _may_keep_date(modified: int) -> bool:
    """Whether a file that is written now may be dated as it is; one dated in the future is somebody's own doing."""
    return _COARSE_CLOCK is not None and 0 <= modified - time.clock_gettime_ns(_COARSE_CLOCK) < _LONGEST_TICK
