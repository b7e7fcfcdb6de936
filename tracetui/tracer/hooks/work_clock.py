"""How long the model's own work takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Waits(Protocol):
    """Where the model waits."""

    waited: float
    """Seconds so far."""


class WorkClock:
    """Stands still while the model waits, while weights are made, and during what is tracetui's own."""

    def __init__(self, gate: Waits) -> None:
        self._gate = gate
        self.uncounted_seconds = 0.0

    def now(self) -> float:
        """Seconds, from whenever."""
        return time.perf_counter() - self._gate.waited - self.uncounted_seconds

    def leave_out(self, seconds: float) -> None:
        """Of what has passed, so much wasn't the model's own work."""
        self.uncounted_seconds += seconds

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Around work that is not the model's own."""
        began = self.now()
        try:
            yield
        finally:
            self.uncounted_seconds += self.now() - began
