"""The rank of a program that has no screen: it runs the model whenever the first one does, and as far."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from tracetui.debugger.fault import ModelError
from tracetui.debugger.session import Event, Extended, Started
from tracetui.errors import Cancelled, InputError, TracetuiError
from tracetui.expr.edit_log import EditLog
from tracetui.models.given import AS_GIVEN
from tracetui.models.runnable import Runnable
from tracetui.recipe import Prompts
from tracetui.recording.npz import write_trace
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.ranks.following import Following
from tracetui.tracer.ranks.leading import file_of
from tracetui.tracer.ranks.rank_order import RUNS, Does, RankOrder, edits_of, stops_of


class Follower:
    """What a visit leaves on such a rank."""

    def __init__(self, model: Runnable, visit: Following, is_interrupted: Callable[[], bool]) -> None:
        """is_interrupted: whether Ctrl-C was heard here."""
        self._engine = Engine(model, self._hear, goes_on=True)
        self._visit = visit
        visit.count = lambda: len(self.trace.records)
        self._is_interrupted = is_interrupted
        self._edits = EditLog()
        """Of the last run."""
        self.trace: Trace = EMPTY_TRACE
        """Of the last run."""
        self.output: Any = None
        self.error: BaseException | None = None

    def follow(self) -> None:
        """Run the model as often as the first rank does. Raises KeyboardInterrupt for Ctrl-C here or there."""
        try:
            self._obey_all()
        finally:
            with suppress(TracetuiError):
                # Nobody may be there any more to read it.
                self._visit.leaves()
            self._engine.close()

    def _obey_all(self) -> None:
        number = 0
        while (order := self._visit.order(number)).does != Does.END:
            if order.does == Does.WRITE:
                self._visit.wrote(number, self._written(Path(order.folder)))
            elif order.does in RUNS:
                self._run(order)
            number += 1
        if order.is_interrupted or self._is_interrupted():
            raise KeyboardInterrupt

    def _run(self, order: RankOrder) -> None:
        visit, goes_on = self._visit, order.does == Does.GENERATE
        self._edits = visit.log = self._edits if goes_on else EditLog(edits_of(order.edits))
        gate = Gate(
            stops=stops_of(order.stops),
            waits=False,
            edits=self._edits,
            meeting=visit,
            is_cancelled=self._is_interrupted,
        )
        visit.hear_stops = gate.stop_at
        visit.hear_changes(order.changes, len(self.trace.records))
        self.output = self.error = None
        try:
            self.trace = self._ran(order, gate)
            self.output = self._engine.output
        except Cancelled:
            self.trace = self.trace.closed()
        except ModelError as error:
            self.trace, self.error = error.trace, error.__cause__
        except InputError as error:
            # Told by the first rank: another one, or this, can't do it.
            with suppress(InputError):
                visit.refuses(error)
        visit.run_ended()

    def _ran(self, order: RankOrder, gate: Gate) -> Trace:
        if order.does == Does.GENERATE:
            return self._engine.generate(order.count, gate)
        if order.does == Does.AGAIN:
            return self._engine.rerun(0, gate)
        ids = order.ids
        prompts = AS_GIVEN if ids is None else Prompts(ids=tuple(tuple(row) for row in ids))
        return self._engine.run(prompts, gate)

    def _written(self, folder: Path) -> str:
        """Write this rank's part of the last run; returns what keeps it from that, or nothing."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_trace(self.trace, folder / file_of(self._visit.ranks.rank))
        except (TracetuiError, OSError) as error:
            return str(error)
        return ""

    def _hear(self, event: Event) -> None:
        if isinstance(event, Started | Extended):
            self.trace = event.trace
            self._visit.begins()


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C has been heard in a `with`: of itself it would leave the others in the middle of a collective.

    Heard again it is what it is elsewhere.
    """
    heard = threading.Event()

    def hear(number: int, frame: FrameType | None) -> None:
        if heard.is_set():
            raise KeyboardInterrupt
        heard.set()

    before = signal.getsignal(signal.SIGINT)
    with suppress(ValueError):
        # Not in the main thread, where alone signals are handled.
        signal.signal(signal.SIGINT, hear)
    try:
        yield heard.is_set
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, before)
