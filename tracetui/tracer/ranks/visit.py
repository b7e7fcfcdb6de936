"""A visit of all ranks to the debugger: the first one has the screen, the others go where it goes.

At each record that all make they agree whether to go on; where the first waits for its user, the others ask the store
what it wants, in slices in which Ctrl-C is heard, and never wait in a collective.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit
from tracetui.recipe import Prompts
from tracetui.recording.record import Record
from tracetui.text import number
from tracetui.tracer.ranks.meeting import GO_ON, HOLD, LEAVE, Meant
from tracetui.tracer.ranks.together import MeetingPoints, Ranks, wait_until

FIRST = 0
"""The rank that has the screen."""
_LISTENING_SECONDS = 0.05
"""Between two looks of the first rank for Ctrl-C on another one."""
_ENDING_SECONDS = 5.0
"""That the first rank, which holds the store, waits for the others to have read its last word."""


class Visit:
    """One rank's side of a visit. Used by the thread that runs the model."""

    def __init__(self, ranks: Ranks, points: MeetingPoints) -> None:
        """All ranks have to make one at once, and to have gathered."""
        self.ranks = ranks
        self._points = points
        self._meetings = 0
        self._hits: list[Hit] = []

    def name(self, what: str) -> str:
        """Under which something of this visit stands in the store."""
        return f"{self.ranks.calls}/{what}"

    def _met(self, record: Record, hits: Sequence[Hit], state: int) -> Meant | None:
        self._hits += hits
        if not self._points.has(record):
            return None
        self._meetings += 1
        self._come()
        agreed, rank = self.ranks.agreed(HOLD if self._hits and not state else state, bool(self._hits), record)
        own, self._hits = self._hits, []
        lines = [] if rank is None else self.ranks.heard_from(rank, [_told(self.ranks, record, hit) for hit in own])
        return Meant(agreed, () if rank == self.ranks.rank else lines)

    def _come(self) -> None:
        """Be where the next thing is decided."""


class Leading(Visit):
    """Of the rank that has the screen."""

    def __init__(self, ranks: Ranks, points: MeetingPoints) -> None:
        super().__init__(ranks, points)
        self.stops: Sequence[Stop] = ()
        """Those that stand on the screen now."""
        self.is_typed = False
        """Whether runs are of tokens, and not of what each rank was given."""
        self._runs = 0

    def arrived(self, record: Record, hits: Sequence[Hit], holds: bool, leaves: bool) -> Meant | None:
        return self._met(record, hits, LEAVE if leaves else HOLD if holds else GO_ON)

    def _come(self) -> None:
        self.ranks.write(self.name("at"), str(self._meetings))

    def goes_on(self, leaves: bool) -> None:
        self.ranks.write(self.name("on"), json.dumps([self._meetings, leaves, _texts(self.stops)]))

    def begins(self, ids: Sequence[Sequence[int]], stops: Sequence[Stop]) -> None:
        """A run begins here, of these token ids where they are not what each rank was given."""
        self.stops = stops
        self._order({"ids": ids if self.is_typed and ids else None, "stops": _texts(stops)})

    def ends(self, interrupted: bool) -> None:
        """There are no more runs. Waits until the others know: the store is gone with this rank."""
        self._order({"interrupted": interrupted})
        others = range(1, self.ranks.world)
        wait_until(
            lambda: all(self.ranks.read(self.name(f"left{rank}")) is not None for rank in others), _ENDING_SECONDS
        )

    def _order(self, order: dict[str, Any]) -> None:
        self.ranks.write(self.name(f"order{self._runs}"), json.dumps(order))
        self._runs += 1

    @contextmanager
    def listening(self, hear: Callable[[], None]) -> Iterator[None]:
        """For the length of a `with`, hear of Ctrl-C on another rank, from a thread of its own."""
        over = threading.Event()

        def listen() -> None:
            while not over.wait(_LISTENING_SECONDS):
                if self.ranks.read(self.name("interrupted")) is not None:
                    hear()
                    return

        listener = threading.Thread(target=listen, name="ranks", daemon=True)
        listener.start()
        try:
            yield
        finally:
            over.set()
            listener.join()


class Following(Visit):
    """Of the others."""

    def __init__(self, ranks: Ranks, points: MeetingPoints, is_interrupted: Callable[[], bool]) -> None:
        """is_interrupted: whether Ctrl-C was heard here."""
        super().__init__(ranks, points)
        self._is_interrupted = is_interrupted
        self._is_told = False
        self.hear_stops: Callable[[Sequence[str]], None] = lambda texts: None

    def arrived(self, record: Record, hits: Sequence[Hit], holds: bool, leaves: bool) -> Meant | None:
        meant = self._met(record, hits, LEAVE if leaves else GO_ON)
        if meant is None or not meant.holds:
            return meant
        word: list[Any] = []

        def is_let_go() -> bool:
            self._tell()
            word[:] = json.loads(self.ranks.read(self.name("on")) or "[0]")
            return bool(word[0] >= self._meetings)

        wait_until(is_let_go)
        self.hear_stops(word[2])
        return Meant(LEAVE if word[1] else GO_ON)

    def goes_on(self, leaves: bool) -> None:
        """Nobody lets this rank's model go on but the first."""

    def _come(self) -> None:
        """Not before the first rank is there: until then a collective would wait for it."""

        def is_there() -> bool:
            self._tell()
            return int(self.ranks.read(self.name("at")) or 0) >= self._meetings

        wait_until(is_there)

    def order(self, number: int) -> dict[str, Any]:
        """What the first rank wants next."""
        name = self.name(f"order{number}")

        def is_given() -> bool:
            self._tell()
            return self.ranks.read(name) is not None

        wait_until(is_given)
        order: dict[str, Any] = json.loads(self.ranks.read(name) or "{}")
        return order

    def _tell(self) -> None:
        """Have the first rank know of Ctrl-C: it has all leave. Nobody does alone: the others would wait for ever."""
        if not self._is_told and self._is_interrupted():
            self._is_told = True
            self.ranks.write(self.name("interrupted"), str(self.ranks.rank))

    def leaves(self) -> None:
        """This rank has read the last word."""
        self.ranks.write(self.name(f"left{self.ranks.rank}"), "left")


def _texts(stops: Sequence[Stop]) -> list[str]:
    return [stop.text for stop in stops if stop.on]


def prompts_of(order: dict[str, Any], given: Prompts) -> Prompts:
    """What a run is of; `given`: what stands for what each rank was given."""
    ids = order["ids"]
    return given if ids is None else Prompts(ids=tuple(tuple(row) for row in ids))


def _told(ranks: Ranks, record: Record, hit: Hit) -> str:
    values = ", ".join(f"{name} = {number(value)}" for name, value in hit.told)
    return f"rank {ranks.rank} of {ranks.world}: stop {hit.stop.text}{f': {values}' if values else ''}"
