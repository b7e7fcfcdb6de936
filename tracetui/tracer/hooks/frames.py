"""The modules that are running, outermost first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Frame:
    """One module that is running."""

    path: str
    call: int
    started: float
    """On the clock of the watch, which stands still while the model waits and while weights are made."""
    inputs: tuple[int, ...] = ()
    """Which records hold what it was given."""
    attention_calls: int = 0
    """How many attention kernels it has called itself."""
