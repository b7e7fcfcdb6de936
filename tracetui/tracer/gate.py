"""Where the model thread waits: at a record, until somebody lets it run on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from threading import Condition

from tracetui.debugger.session import Advanced, Event, Fired, Remark, Stopped, until_end
from tracetui.errors import Cancelled
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit, StopEvaluator, Tally
from tracetui.recording.record import Record
from tracetui.recording.stepping import Target
from tracetui.recording.trace import Trace
from tracetui.tracer.ranks.meeting import Meeting

NOTICE_SECONDS = 0.1
"""How often a running model tells where it is."""


def unheard(event: Event) -> None:
    """Nobody listens."""


def _ask_health_alone(stops: Sequence[Stop]) -> bool:
    """Whether stops ask for no more than whether all is finite."""
    return all(stop.only_health or not stop.on for stop in stops)


class Gate:
    """One run's gate. The model thread calls `arrived` and `check`; everybody else the rest."""

    def __init__(
        self,
        until: Target = until_end,
        emit: Callable[[Event], None] = unheard,
        errand: Callable[[], None] = lambda: None,
        stops: Sequence[Stop] = (),
        waits: bool = True,
        edits: EditLog | None = None,
        number: int = 0,
        notices: bool = True,
        meeting: Meeting | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """`errand` is what the waiting thread does when somebody knocks. notices: whether to tell how far the run is.

        meeting: of the ranks that run the model together; all of them wait, go on or leave at the same record.
        is_cancelled: whether somebody else wants the run to be left.

        waits: whether the model does at a stop that holds. edits: what the run changes. number: the run's.
        """
        self.number = number
        self._until: Target | None = until
        self._emit = emit
        self._errand = errand
        self._knocked = False
        self._changed = Condition()
        self._cancelled = False
        self._meeting = meeting
        self._is_cancelled = is_cancelled
        self._is_due = False
        """Whether to wait at the next record at which all ranks meet."""
        self._pausing = False
        self.notices = notices
        self._next_notice = 0.0 if notices else math.inf
        self._stops = tuple(stops)
        self.asks_health_alone = _ask_health_alone(self._stops)
        self.waits = waits
        self.edits = edits or EditLog()
        self._watcher: StopEvaluator | None = None
        self.went_on: Callable[[], None] = lambda: None
        """Called by the model's thread when it has waited and nobody cancelled; may raise."""
        self.quiet_until = 0
        """Nobody waits at a stop before this record: the user has been there."""
        self.waited = 0.0
        """Seconds spent waiting and looking for stops so far: not the model's own."""
        self.is_calm = False
        """Whether nobody waits, or asks for more than whether all is finite: asked at every module."""
        self._tell_calm()

    @property
    def why_whole(self) -> str:
        """What would have to be taken up in the middle too, and can't; empty where nothing is in the way."""
        return "" if self._meeting is None else "another rank"

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def arrived(self, record: Record) -> None:
        """Wait here if the record ends the step. Raises Cancelled."""
        if self._meeting is not None:
            self._arrived_together(record, self._meeting)
            return
        if self._cancelled:
            raise Cancelled
        fired = bool(self._stops) and self._fired(record) and self.waits and record.index >= self.quiet_until
        until = self._until
        if (until is not until_end and (until is None or until(record))) or self._pausing or fired:
            self._wait(record.index + 1)
            return
        if self.is_notice_due:
            self.notice(record.index + 1)

    def _arrived_together(self, record: Record, meeting: Meeting) -> None:
        """The same with other ranks, who may want to wait or to leave too."""
        hits = self._hits_at(record) if self._stops else ()
        until = self._until
        ends = until is not until_end and (until is None or until(record))
        stopped = bool(hits) and self.waits and record.index >= self.quiet_until
        self._is_due = self._is_due or ends or self._pausing or stopped
        meant = meeting.arrived(record, hits, self._is_due, self._cancelled or self._is_cancelled())
        if meant is not None and meant.leaves:
            raise Cancelled
        if meant is not None and meant.holds:
            self._is_due = False
            for line in meant.elsewhere:
                self._emit(Remark(line))
            try:
                self._wait(record.index + 1)
            finally:
                meeting.goes_on(self._cancelled)
        elif self.is_notice_due:
            self.notice(record.index + 1)
        # What was changed meanwhile may be about the very record at which all waited.
        self.edits.now(record.index)

    def passed(self, record: Record) -> None:
        """A record is described at which nobody would have waited."""
        if self._watcher is not None and self._stops and (hits := self._watcher.look(record)):
            self._emit(Fired(hits))

    def passed_sound(self, count: int) -> None:
        """The same of so many records of which all are finite, where stops ask for nothing else."""
        if self._watcher is not None and self._stops:
            self._watcher.add_sound(count)

    def _tell_calm(self) -> None:
        asks_nothing = self._until is until_end and self.asks_health_alone and self._meeting is None
        self.is_calm = asks_nothing and not self._pausing and not self._cancelled

    @property
    def is_notice_due(self) -> bool:
        """Whether it is time to tell where the model is, if anybody hears it."""
        return time.perf_counter() >= self._next_notice

    def notice(self, count: int) -> None:
        """Tell how many records there are."""
        self._next_notice = time.perf_counter() + NOTICE_SECONDS
        self._emit(Advanced(count))

    def begin(self, trace: Trace, taken: int = 0) -> None:
        """From now on a run extends this trace, and stops are checked at its records.

        The first `taken` records come from another run: stops that hold there are counted, but not reported.
        """
        with self._changed:
            self._watcher = StopEvaluator(trace, self._stops)
        for record in trace.records[:taken] if self._stops else ():
            self.check()
            self._watcher.look(record)

    def stop_at(self, stops: Sequence[Stop]) -> None:
        """Other stops, from the next record on."""
        with self._changed:
            self._stops = tuple(stops)
            self.asks_health_alone = _ask_health_alone(self._stops)
            self._tell_calm()
            if self._watcher is not None:
                self._watcher.stops = self._stops

    @property
    def stops(self) -> tuple[Stop, ...]:
        """The stops in force."""
        return self._stops

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """How often each stop matched and held so far."""
        return self._watcher.tallies if self._watcher is not None else ()

    def _fired(self, record: Record) -> bool:
        """Whether a stop holds at the record; if so, listeners are notified."""
        return bool(self._hits_at(record))

    def _hits_at(self, record: Record) -> tuple[Hit, ...]:
        """The stops that hold at the record; listeners are notified."""
        if self._watcher is None:
            return ()
        began = time.perf_counter()
        hits = self._watcher.look(record)
        self.waited += time.perf_counter() - began
        if hits:
            self._emit(Fired(hits))
        return hits

    def check(self) -> None:
        """Raises Cancelled if somebody asked for it."""
        if self._cancelled:
            raise Cancelled

    def advance(self, until: Target) -> None:
        """Let the model run on to a record that `until` accepts."""
        with self._changed:
            self._until = until
            self._pausing = False
            self._tell_calm()
            self._changed.notify_all()

    def pause(self) -> None:
        """Have the model wait at its next record."""
        with self._changed:
            self._pausing = True
            self._tell_calm()

    def cancel(self) -> None:
        """Have the model leave the run, whether it waits or works."""
        with self._changed:
            self._cancelled = True
            self._tell_calm()
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
            self._tell_calm()
            self._emit(Stopped(frontier))
        while self._is_called():
            # Not under the lock: whoever lets the model run on must not wait for it.
            self._errand()
        self.waited += time.perf_counter() - began
        self.check()
        self.went_on()
        # What was asked for while the model waited may be about the very record at which it did.
        self.edits.now(frontier - 1)

    def _is_called(self) -> bool:
        """Wait until somebody knocks (True), or until the model may run on."""
        with self._changed:
            self._changed.wait_for(lambda: self._knocked or self._cancelled or self._until is not None)
            called, self._knocked = self._knocked and not self._cancelled, False
            return called
