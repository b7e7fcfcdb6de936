"""One recording of a module that exists at a time: two watches on the same parts take each other's records away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tracetui.tracer.observer import observer_here

_TURN = threading.RLock()


@contextmanager
def alone() -> Iterator[None]:
    """For the length of a `with` no other thread records a module; those that want to wait."""
    with _TURN:
        yield


def is_recording() -> bool:
    """Whether this thread records a call, which no other watch of its own may then join."""
    return observer_here() is not None
