"""The norm of every record of a run, kept so that any number of columns can be drawn without going through them all."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np

from tracetui.analysis.timeline.columns import NO_COLUMNS, TimelineColumns, edges_of, first_in
from tracetui.analysis.timeline.pyramid import MaxPyramid
from tracetui.recording.health import HIDING, is_sound
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import statistics_of

_AT_ONCE = 256
"""Records between two looks at whether somebody still waits."""
_MOST_READ = 2**28
"""Elements of a script's own tensors, whose statistics nobody has computed, that are read for it."""


class Timeline:
    """Of one run, while it grows. `extend` may be called from any thread, the rest reads what has been taken in."""

    def __init__(self) -> None:
        self._norms, self._broken = MaxPyramid(), MaxPyramid()
        self._layer_starts: list[int] = []
        self._layers: list[int] = []
        self._pass_starts: list[int] = []
        self._passes: list[int] = []
        self._read = 0
        self._lock = Lock()
        self._marker: Record | None = None
        """The last record but one that was taken in: the newest may still be given another site."""

    @property
    def count(self) -> int:
        """How many records have been taken in."""
        return self._broken.count

    def is_of(self, trace: Trace, frontier: int) -> bool:
        """Whether a trace's first `frontier` records go on from what has been taken in."""
        count = self.count
        return count <= frontier and (count < 2 or trace.records[count - 2] is self._marker)

    def extend(self, trace: Trace, frontier: int, is_cancelled: Callable[[], bool], tell: Callable[[], None]) -> None:
        """Take in the records up to the frontier, of which statistics are computed where nobody has; `tell` hears of
        every few hundred. O(new records).
        """
        while self.count < frontier and not is_cancelled():
            with self._lock:
                first = self.count
                self._take(trace, first, min(frontier, first + _AT_ONCE))
            tell()

    def _take(self, trace: Trace, first: int, end: int) -> None:
        if first >= end:
            return
        records, values = trace.records[first:end], trace.values[first:end]
        elements = sum(record.numel for record in records) if trace.dump else 0
        if self._read + elements > _MOST_READ:
            norms, broken = np.full(len(records), -np.inf), np.zeros(len(records), bool)
        else:
            every = statistics_of(values)
            norms = np.array([_norm(record, of) for record, of in zip(records, every, strict=True)])
            broken = np.array([not is_sound(record, value) for record, value in zip(records, values, strict=True)])
        self._read += elements
        for record in records:
            self._note_begins(record)
        if end >= 2:
            self._marker = trace.records[end - 2]
        self._norms.extend(norms)
        # Last: by its count the others are read.
        self._broken.extend(np.where(broken, 1.0, -np.inf))

    def _note_begins(self, record: Record) -> None:
        """Where a layer or a pass begins."""
        if not self._passes or record.pass_ != self._passes[-1]:
            self._pass_starts.append(record.index)
            self._passes.append(record.pass_)
        of_pass = bool(self._layers) and self._layer_starts[-1] >= self._pass_starts[-1]
        if (layer := record.layer) is not None and not (of_pass and layer == self._layers[-1]):
            self._layer_starts.append(record.index)
            self._layers.append(layer)

    def columns(self, width: int, grows: bool) -> TimelineColumns:
        """At most so many columns of all that has been taken in. O(width)."""
        count = self.count
        if not count or width <= 0:
            return NO_COLUMNS
        edges, level = edges_of(count, width, grows)
        return TimelineColumns(
            edges,
            self._norms.maxima(edges, level),
            self._broken.maxima(edges, level) > 0,
            tuple((column, self._layers[at]) for column, at in first_in(edges, self._layer_starts)),
            tuple((column, self._passes[at]) for column, at in first_in(edges, self._pass_starts)),
        )

    def norm(self, index: int) -> float:
        """Of a record; -inf where it has none, or isn't taken in yet."""
        return self._norms[index] if 0 <= index < self.count else -np.inf

    def most_telling(self, first: int, end: int) -> int:
        """Of the records from `first` to before `end` the first broken one, else the largest."""
        broken = self._broken.largest_in(first, end)
        return broken if self._broken[broken] > 0 else self._norms.largest_in(first, end)


def _norm(record: Record, statistics: Statistics) -> float:
    """What has a size: neither a mask nor numbers of experts."""
    sized = record.role not in HIDING and not record.dtype.startswith(("int", "uint", "bool"))
    return statistics.l2 if sized and statistics.finite_count else -np.inf
