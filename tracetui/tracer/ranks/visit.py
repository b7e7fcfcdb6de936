"""A visit of all ranks to the debugger: the first one has the screen, the others go where it goes.

At each record that all make they agree whether to go on; where the first waits for its user, the others ask the store
what it wants, in slices in which Ctrl-C is heard, and never wait in a collective.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracetui.errors import InputError
from tracetui.expr.edit_log import EditLog
from tracetui.expr.watcher import Hit
from tracetui.recording.record import Record
from tracetui.text import number
from tracetui.tracer.ranks.meeting import HOLD, Meant
from tracetui.tracer.ranks.rank_order import Change, edits_of
from tracetui.tracer.ranks.together import MeetingPoints, Ranks


class Visit:
    """One rank's side of a visit. Used by the thread that runs the model."""

    def __init__(self, ranks: Ranks, points: MeetingPoints, near: Ranks | None = None) -> None:
        """All ranks have to make one at once, and to have gathered. near: those of the same stage of a model."""
        self.ranks = ranks
        self._near = near or ranks
        self.run = 0
        """The number of the order that is carried out."""
        self.log = EditLog()
        """The edits of the run under way."""
        self._points = points
        self._meetings = 0
        self._changes = 0
        """How many changes were made known, or heard of."""
        self._hits: list[Hit] = []

    def name(self, what: str) -> str:
        """Under which something of this visit stands in the store."""
        return f"{self.ranks.calls}/{what}"

    def named_of_run(self, what: str) -> str:
        """The same for something of the run under way."""
        return self.name(f"run{self.run}/{what}")

    @property
    def changes(self) -> int:
        """How many changes of stops and edits this rank knows of."""
        return self._changes

    def _met(self, record: Record, hits: Sequence[Hit], state: int) -> Meant | None:
        self._hits += hits
        if not self._points.has(record):
            return None
        self._meetings += 1
        self._come(record)
        agreed, rank = self._near.agreed(HOLD if self._hits and not state else state, bool(self._hits), record)
        own, self._hits = self._hits, []
        lines = [] if rank is None else self._near.heard_from(rank, [told(self.ranks, hit) for hit in own])
        return Meant(agreed, () if rank == self.ranks.rank else lines)

    def _come(self, record: Record) -> None:
        """Be where the next thing is decided."""

    def _agree_to_begin(self, problem: str = "") -> None:
        """All ranks begin a run, or none. Raises InputError with what keeps one of them from it."""
        problems = self.ranks.all_say(problem)
        if problem := next((f"rank {rank}: {text}" for rank, text in enumerate(problems) if text), ""):
            raise InputError(problem)

    def _apply(self, change: Change, count: int) -> None:
        """Have a change hold from the next record on, of which there are `count` so far, or from the last of them."""
        if change.edits is not None:
            self.log.ask(edits_of(change.edits), count - int(change.is_late))


def told(ranks: Ranks, hit: Hit) -> str:
    """A stop that holds on this rank, in words for the others."""
    values = ", ".join(f"{name} = {number(value)}" for name, value in hit.told)
    return f"rank {ranks.rank} of {ranks.world}: stop {hit.stop.text}{f': {values}' if values else ''}"
