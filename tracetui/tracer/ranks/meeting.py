"""What ranks that run a model together do at a record: go on, wait or leave, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tracetui.expr.watcher import Hit
from tracetui.recording.record import Record

GO_ON, HOLD, LEAVE = range(3)
"""In the order in which one rank's wish counts more than another's."""


class Meant:
    """What all ranks do at a record."""

    def __init__(self, state: int, elsewhere: Sequence[str] = ()) -> None:
        self.holds = state == HOLD
        self.leaves = state == LEAVE
        self.elsewhere = tuple(elsewhere)
        """In words, the stops that hold on another rank."""


class Meeting(Protocol):
    """What a run's gate asks at every record."""

    def arrived(self, record: Record, hits: Sequence[Hit], holds: bool, leaves: bool) -> Meant | None:
        """What all ranks do at a record; None where they don't meet, and what one of them wants has to wait."""
        ...

    def goes_on(self, leaves: bool) -> None:
        """The user has let the model go on."""
        ...
