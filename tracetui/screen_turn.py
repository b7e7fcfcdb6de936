"""Whose turn it is: while the screen answers a key, threads that compute wait before their next piece of work.

A processor that computes is given to a thread that wakes up only milliseconds later, and each change of the
interpreter's lock between threads costs that once more.
"""

from __future__ import annotations

import time
from threading import Event

LONGEST = 0.03
"""Seconds for which computing waits at most: a key that changes nothing on the screen has no end."""


class ScreenTurn:
    """Of the one screen that the process has. Safe from any thread."""

    def __init__(self) -> None:
        self._ends = 0.0
        """When the turn ends at the latest; 0 while the screen has nothing to answer."""
        self._over = Event()

    def begin(self) -> None:
        """A key has come."""
        self._over.clear()
        self._ends = time.monotonic() + LONGEST

    def end(self) -> None:
        """What it changed is on the terminal."""
        self._ends = 0.0
        self._over.set()

    def give_way(self) -> None:
        """Wait until the screen's turn is over: called between pieces of work of a millisecond or so."""
        if not (ends := self._ends):
            return
        if (left := ends - time.monotonic()) > 0:
            self._over.wait(left)
        elif self._ends == ends:
            self._ends = 0.0


screen_turn = ScreenTurn()
