"""The rank of a program that has no screen: it runs the model whenever the first one does, and as far."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from tracetui.debugger.fault import ModelError
from tracetui.debugger.session import Event, Started
from tracetui.errors import Cancelled
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import parse_stop
from tracetui.models.given import AS_GIVEN
from tracetui.models.runnable import Runnable
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.ranks.together import MeetingPoints, Ranks
from tracetui.tracer.ranks.visit import Following, prompts_of


class Follower:
    """What a visit leaves on such a rank."""

    def __init__(self, model: Runnable) -> None:
        self._engine = Engine(model, self._hear)
        self.trace: Trace = EMPTY_TRACE
        """Of the last run."""
        self.output: Any = None
        self.error: BaseException | None = None

    def follow(self, ranks: Ranks, points: MeetingPoints, is_interrupted: Callable[[], bool]) -> None:
        """Run the model as often as the first rank does. Raises KeyboardInterrupt for Ctrl-C here or there."""

        visit = Following(ranks, points, is_interrupted)
        try:
            self._runs(visit, is_interrupted)
        finally:
            visit.leaves()
            self._engine.close()

    def _runs(self, visit: Following, is_interrupted: Callable[[], bool]) -> None:
        number = 0
        while "interrupted" not in (order := visit.order(number)):
            number += 1
            gate = Gate(
                stops=_stops(order["stops"]),
                waits=False,
                edits=EditLog(self._engine.runnable.recipe.edits),
                meeting=visit,
                is_cancelled=is_interrupted,
            )
            visit.hear_stops = lambda texts, gate=gate: gate.stop_at(_stops(texts))  # type: ignore[misc]
            self._run(order, gate)
        if order["interrupted"] or is_interrupted():
            raise KeyboardInterrupt

    def _run(self, order: dict[str, Any], gate: Gate) -> None:
        self.output = self.error = None
        try:
            self.trace = self._engine.run(prompts_of(order, AS_GIVEN), gate)
            self.output = self._engine.output
        except Cancelled:
            self.trace = self.trace.closed()
        except ModelError as error:
            self.trace, self.error = error.trace, error.__cause__

    def _hear(self, event: Event) -> None:
        if isinstance(event, Started):
            self.trace = event.trace


def _stops(texts: Sequence[str]) -> tuple[Any, ...]:
    return tuple(parse_stop(text) for text in texts)


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
