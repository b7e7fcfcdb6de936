"""A program that was told to end ends, whatever holds it: somebody may be waiting for the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Timer

from textual.driver import Driver

from tracetui.ui.terminal import TerminalDriver

SECONDS = 6.0
"""What ending in order may take: the session's thread alone is given two."""


class LastResort:
    """Armed when the program is told to end; gives the terminal back and leaves if it is still there later."""

    def __init__(self, driver: Callable[[], Driver | None], leave: Callable[[int], None] = os._exit) -> None:
        self._driver = driver
        self._leave = leave
        self._timer: Timer | None = None

    def arm(self, status: int) -> None:
        if self._timer is None:
            self._timer = Timer(SECONDS, self._end, (status,))
            self._timer.daemon = True
            self._timer.start()

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, status: int) -> None:
        with suppress(Exception):
            if isinstance(driver := self._driver(), TerminalDriver):
                driver.give_back()
        self._leave(status)
