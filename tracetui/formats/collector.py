"""The garbage collector, which walks all objects again and again while hundreds of thousands of small ones are made."""

from __future__ import annotations

import gc
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
    """The same while modules are imported, which are never walked then: they stay, and took a tenth of a start."""
    with collector_paused():
        yield
    gc.freeze()
