"""Where the model thread waits: at a record, until somebody lets it run on."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Condition

from tracetui.errors import Cancelled
from tracetui.session import Advanced, Event, Stopped, until_end
from tracetui.trace.record import Record
from tracetui.trace.stepping import Target

NOTICE_SECONDS = 0.1
"""How often a running model tells where it is."""


class Gate:
    """One run's gate. The model thread calls `arrived` and `check`; everybody else the rest."""

    def __init__(
        self,
        until: Target = until_end,
        emit: Callable[[Event], None] = lambda event: None,
        errand: Callable[[], None] = lambda: None,
    ) -> None:
        """`errand` is what the waiting thread does when somebody knocks."""
        self._until: Target | None = until
        self._emit = emit
        self._errand = errand
        self._knocked = False
        self._changed = Condition()
        self._cancelled = False
        self._pausing = False
        self._next_notice = 0.0
        self.waited = 0.0
        """Seconds spent waiting so far: not the model's own."""

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def arrived(self, record: Record) -> None:
        """Wait here if the record ends the step. Raises Cancelled."""
        self.check()
        until = self._until
        if until is None or self._pausing or until(record):
            self._wait(record.index + 1)
            return
        now = time.perf_counter()
        if now >= self._next_notice:
            self._next_notice = now + NOTICE_SECONDS
            self._emit(Advanced(record.index + 1))

    def check(self) -> None:
        """Raises Cancelled if somebody asked for it."""
        if self._cancelled:
            raise Cancelled

    def advance(self, until: Target) -> None:
        """Let the model run on to a record that `until` accepts."""
        with self._changed:
            self._until = until
            self._pausing = False
            self._changed.notify_all()

    def pause(self) -> None:
        """Have the model wait at its next record."""
        self._pausing = True

    def cancel(self) -> None:
        """Have the model leave the run, whether it waits or works."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def knock(self) -> None:
        """Have a waiting thread do its errand and wait on; one that doesn't wait hears nothing."""
        with self._changed:
            self._knocked = True
            self._changed.notify_all()

    def _wait(self, frontier: int) -> None:
        began = time.perf_counter()
        with self._changed:
            self._until = None
            self._emit(Stopped(frontier))
        while self._is_called():
            # Not under the lock: whoever lets the model run on must not wait for it.
            self._errand()
        self.waited += time.perf_counter() - began
        self.check()

    def _is_called(self) -> bool:
        """Wait until somebody knocks (True), or until the model may run on."""
        with self._changed:
            self._changed.wait_for(lambda: self._knocked or self._cancelled or self._until is not None)
            called, self._knocked = self._knocked and not self._cancelled, False
            return called
