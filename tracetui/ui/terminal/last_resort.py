"""A program that was told to end ends, whatever holds it: somebody may be waiting for the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Timer

from textual.driver import Driver

from tracetui.bus_error import before_bus_error
from tracetui.ui.terminal.driver import TerminalDriver
from tracetui.ui.themed_app import ThemedApp

SECONDS = 4.0
"""What ending in order may take: the session's thread alone is given two."""
TELLING_SECONDS = 8.0
"""What may be spent on telling others of the end: five are waited for their answer."""


def run_app(app: ThemedApp, leave: Callable[[], None] = lambda: None) -> int:
    """Show the application until it ends; returns its exit status.

    Doesn't return where a thread can't be ended, or ending takes too long: `leave` is called before that.
    """
    app.before_screen()
    last_resort = LastResort(lambda: app._driver, partial(_leave, leave))
    app.told_to_end = last_resort.arm
    before_bus_error(last_resort.give_back)
    status = app.run()
    last_resort.disarm()
    status = status if status is not None else app.return_code or 0
    if not app.closed:
        # The model is deep inside one operation; the process must not wait for it.
        sys.stdout.flush()
        _leave(leave, status)
    return status


def _leave(leave: Callable[[], None], status: int) -> None:
    # Telling others may hang as well: what they hear it from can be on a machine that stands still.
    hangs = Timer(TELLING_SECONDS, os._exit, (status,))
    hangs.daemon = True
    hangs.start()
    with suppress(Exception):
        leave()
    hangs.cancel()
    os._exit(status)


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

    def give_back(self) -> None:
        """Restore the terminal, if it was taken."""
        if isinstance(driver := self._driver(), TerminalDriver):
            driver.give_back()

    def _end(self, status: int) -> None:
        with suppress(Exception):
            self.give_back()
        self._leave(status)
