"""The gates of the runs that a session was asked for and that have not ended."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from tracetui.expr.stop import Stop
from tracetui.recording.stepping import Target
from tracetui.tracer.gate import Gate


class Gates:
    """The gates of all open runs, oldest first: the running one, then those that wait for it. Safe from any thread.

    Requests reach every run that they concern, so that a waiting model can always be let go.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: tuple[Gate, ...] = ()
        self._newest = Gate()

    @property
    def newest(self) -> Gate:
        """The gate of the run that was requested last, ended or not."""
        return self._newest

    def put_in_place(self, gate: Gate) -> None:
        """Add a new run's gate and cancel all others."""
        with self._lock:
            # First, so that a run which finds itself cancelled knows that another was asked for.
            self._newest = gate
            for other in self._open:
                other.cancel()
            self._open = (*self._open, gate)

    def put_behind(self, gate: Gate) -> None:
        """Add a gate that takes its turn once the others have ended."""
        with self._lock:
            self._newest = gate
            self._open = (*self._open, gate)

    def ended(self, gate: Gate) -> None:
        with self._lock:
            self._open = tuple(other for other in self._open if other is not gate)

    def advance(self, until: Target) -> None:
        """Let the run that is under way go on; one that is cancelled needs no more."""
        for gate in [gate for gate in self._open if not gate.cancelled][:1]:
            gate.advance(until)

    def pause(self) -> None:
        for gate in self._open:
            gate.pause()

    def cancel(self) -> None:
        for gate in self._open:
            gate.cancel()

    def stop_at(self, stops: Sequence[Stop]) -> None:
        for gate in self._open:
            gate.stop_at(stops)

    def knock(self) -> None:
        for gate in self._open:
            gate.knock()
