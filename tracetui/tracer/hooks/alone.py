"""One recording of a module that exists at a time: two watches on the same parts take each other's records away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.observer import observer_here

_TURN = threading.RLock()


_under_way: list[Recorder | None] = []
"""Of the thread whose turn it is: a call may trace another one."""


@contextmanager
def alone(recorder: Recorder | None = None) -> Iterator[None]:
    """For the length of a `with` no other thread records a module; those that want to wait."""
    with _TURN:
        for outer in filter(None, _under_way):
            outer.note("a call was traced while this one ran: what attention and experts did in it only that trace has")
        _under_way.append(recorder)
        try:
            yield
        finally:
            _under_way.pop()


def is_recording() -> bool:
    """Whether this thread records a call, which no other watch of its own may then join."""
    return observer_here() is not None
