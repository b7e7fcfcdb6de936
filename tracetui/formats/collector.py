"""The garbage collector, which walks all objects again and again while hundreds of thousands of small ones are made."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collect no cycles meanwhile: reading a long header makes none, and takes half of the time without."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def collector_paused_for_good() -> Iterator[None]:
    """The same while modules are imported, which are never walked then: they stay, and took a tenth of a start.

    Where all of them had been imported before, what lives is none of theirs, and may have to go one day.
    """
    imported = len(sys.modules)
    with collector_paused():
        yield
    if len(sys.modules) > imported:
        gc.freeze()
