"""Looks at records, one after another, for the stops that hold there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tracetui.expr.evaluate import Answer, Told, evaluate
from tracetui.expr.stop import Stop
from tracetui.recording.health import all_finite
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace

if TYPE_CHECKING:
    from tracetui.expr.moment import RecordScope


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


class StopEvaluator:
    """One run's look-out. Used by one thread; only `stops` may be replaced by another."""

    def __init__(self, trace: Trace, stops: Sequence[Stop] = ()) -> None:
        from tracetui.expr.moment import TraceScope

        self._trace = trace
        self._trace_scope = TraceScope(trace)
        self._tallies: dict[str, Tally] = {}
        self._sound = 0
        self._since: dict[str, int] = {}
        self._stops: tuple[Stop, ...] = ()
        self._plain: tuple[Stop, ...] = ()
        self._health: tuple[Stop, ...] = ()
        self.stops = tuple(stops)

    @property
    def stops(self) -> tuple[Stop, ...]:
        return self._stops

    @stops.setter
    def stops(self, stops: tuple[Stop, ...]) -> None:
        """Others from the next record on; this alone may be called by another thread than looks."""
        active = [stop for stop in stops if stop.on]
        health = tuple(stop for stop in active if stop.only_health)
        # First, since the tallies of a stop may be asked for as soon as it stands.
        self._since = {**self._since, **{stop.text: self._since.get(stop.text, self._sound) for stop in health}}
        self._stops, self._health = stops, health
        self._plain = tuple(stop for stop in active if not stop.only_health)

    def look(self, record: Record) -> tuple[Hit, ...]:
        """The stops that hold at a record."""
        stops = [stop for stop in self._plain if stop.is_for(record)] if self._plain else []
        if self._health:
            # Nearly every record is sound: one look tells so, whatever is asked of it.
            value = self._trace.values[record.index]
            # Whoever recorded it has mostly looked already.
            if getattr(value, "finite", None) or all_finite(value):
                self._sound += 1
            else:
                stops = [*self._health, *stops]
        if not stops:
            return ()
        scope = self._trace_scope.moment(record)
        return tuple(hit for stop in stops if (hit := self._look(stop, scope)) is not None)

    def add_sound(self, count: int) -> None:
        """Count records at which no stop but those for health could hold, and these don't."""
        if self._health:
            self._sound += count

    def _look(self, stop: Stop, scope: RecordScope) -> Hit | None:
        tally = self._tallies.get(stop.text, Tally(stop))
        rests = stop.once and tally.fired
        answer = evaluate(stop.condition, scope) if stop.condition is not None and not rests else _ALWAYS
        holds = answer.holds and not rests
        self._tallies[stop.text] = Tally(
            stop, tally.matched + 1, tally.fired + holds, answer.why if answer.value is None else tally.untold
        )
        return Hit(stop, scope.record.index, answer.told) if holds else None

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """Of the stops that stand now."""
        standing = (self._tallies.get(stop.text, Tally(stop)) for stop in self._stops)
        return tuple(
            replace(tally, matched=tally.matched + self._sound - self._since[tally.stop.text])
            if tally.stop in self._health
            else tally
            for tally in standing
        )


_ALWAYS = Answer(1.0)


def look_up(trace: Trace, stop: Stop, records: Iterable[Record]) -> tuple[tuple[Hit, ...], Tally]:
    """Where a stop holds among records that exist."""
    watcher = StopEvaluator(trace, (stop,))
    hits = tuple(hit for record in records for hit in watcher.look(record))
    return hits, watcher.tallies[0]
