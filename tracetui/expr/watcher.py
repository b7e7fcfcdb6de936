"""Looks at records, one after another, for the stops that hold there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracetui.expr.evaluate import Answer, Told, evaluate
from tracetui.expr.moment import Moment, Scene
from tracetui.expr.stop import Stop
from tracetui.trace.record import Record
from tracetui.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Hit:
    """A stop that held at a record."""

    stop: Stop
    index: int
    """Of the record."""
    told: Told = ()
    """The values that made its condition true."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of one stop in a run."""

    stop: Stop
    matched: int = 0
    """Records that its pattern names."""
    fired: int = 0
    untold: str = ""
    """Why its condition couldn't be told, at the last record where it couldn't."""


class Watcher:
    """One run's look-out. Used by one thread; only `stops` may be replaced by another."""

    def __init__(self, trace: Trace, stops: Sequence[Stop] = ()) -> None:
        self._scene = Scene(trace)
        self.stops = tuple(stops)
        self._tallies: dict[str, Tally] = {}

    def look(self, record: Record) -> tuple[Hit, ...]:
        """The stops that hold at a record."""
        stops = [stop for stop in self.stops if stop.on and stop.is_for(record)]
        if not stops:
            return ()
        moment = self._scene.moment(record)
        return tuple(hit for stop in stops if (hit := self._look(stop, moment)) is not None)

    def _look(self, stop: Stop, moment: Moment) -> Hit | None:
        tally = self._tallies.get(stop.text, Tally(stop))
        rests = stop.once and tally.fired
        answer = evaluate(stop.condition, moment) if stop.condition is not None and not rests else _ALWAYS
        holds = answer.holds and not rests
        self._tallies[stop.text] = Tally(
            stop, tally.matched + 1, tally.fired + holds, answer.why if answer.value is None else tally.untold
        )
        return Hit(stop, moment.record.index, answer.told) if holds else None

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """Of the stops that stand now."""
        return tuple(self._tallies.get(stop.text, Tally(stop)) for stop in self.stops)


_ALWAYS = Answer(1.0)


def look_up(trace: Trace, stop: Stop, records: Iterable[Record]) -> tuple[tuple[Hit, ...], Tally]:
    """Where a stop holds among records that exist."""
    watcher = Watcher(trace, (stop,))
    hits = tuple(hit for record in records for hit in watcher.look(record))
    return hits, watcher.tallies[0]
