"""The stops of a session and what they have done so far, as one frozen value."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit
from tracetui.recording.sites import SitePattern

_ALL = sys.maxsize


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """One stop, and where it held in this run."""

    stop: Stop
    hits: tuple[Hit, ...] = ()
    """In order."""
    unknown: int = 0
    """How many records, from the first on, have not been checked for this stop yet."""

    @property
    def places(self) -> tuple[int, ...]:
        return tuple(hit.index for hit in self.hits)

    def with_hits(self, hits: Iterable[Hit]) -> Entry:
        known = {hit.index: hit for hit in (*self.hits, *hits)}
        return replace(self, hits=tuple(known[index] for index in sorted(known)))


@dataclass(frozen=True, eq=False, slots=True)
class StopBook:
    """All stops in the order in which they were made."""

    entries: tuple[Entry, ...] = ()

    @property
    def stops(self) -> tuple[Stop, ...]:
        return tuple(entry.stop for entry in self.entries)

    @property
    def active(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.stop.on)

    def find(self, text: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.stop.text == text), None)

    def at(self, index: int) -> tuple[Hit, ...]:
        """The hits at a record, of stops that are on."""
        return tuple(hit for entry in self.active if (hit := _at(entry.hits, index)) is not None)

    def after(self, cursor: int) -> int | None:
        """The next record after the cursor at which a stop held."""
        places = (entry.places for entry in self.active)
        found = (each[at] for each in places if (at := bisect_right(each, cursor)) < len(each))
        return min(found, default=None)

    def open_before(self, cursor: int, end: int) -> bool:
        """Whether a stop may hold between the cursor and `end` where nobody has looked yet."""
        return any(cursor + 1 < entry.unknown for entry in self.active) and cursor + 1 < end

    @property
    def to_look_up(self) -> tuple[Entry, ...]:
        """Stops for which records exist that nobody has looked at."""
        return tuple(entry for entry in self.active if entry.unknown)

    def with_stop(self, stop: Stop) -> StopBook:
        """The book with one more stop, for which no record has been checked yet."""
        return StopBook((*self.entries, Entry(stop, unknown=_ALL)))

    def without(self, text: str) -> StopBook:
        return StopBook(tuple(entry for entry in self.entries if entry.stop.text != text))

    def switched(self, text: str, on: bool) -> StopBook:
        """The book with a stop switched on or off; one switched on has all records still to check."""
        return StopBook(
            tuple(
                replace(entry, stop=replace(entry.stop, on=on), unknown=_ALL if on else 0)
                if entry.stop.text == text and entry.stop.on is not on
                else entry
                for entry in self.entries
            )
        )

    def counted(self, recorded: int) -> StopBook:
        """Of stops that nobody had heard of: so many records have been made without them."""
        return StopBook(tuple(replace(entry, unknown=min(entry.unknown, recorded)) for entry in self.entries))

    def heard(self, hits: Sequence[Hit]) -> StopBook:
        """What the model's thread found."""
        return StopBook(
            tuple(entry.with_hits(hit for hit in hits if hit.stop.text == entry.stop.text) for entry in self.entries)
        )

    def looked_up(self, text: str, count: int, hits: Sequence[Hit]) -> StopBook:
        """What was found among the first `count` records."""
        return StopBook(
            tuple(
                replace(entry.with_hits(hits), unknown=0 if entry.unknown <= count else entry.unknown)
                if entry.stop.text == text
                else entry
                for entry in self.entries
            )
        )

    def fresh(self, recorded: int = 0) -> StopBook:
        """The same stops at the start of a run, or over a recording."""
        return StopBook(tuple(Entry(entry.stop, unknown=recorded) for entry in self.entries))


def book_of(stops: Sequence[Stop]) -> StopBook:
    return StopBook(tuple(Entry(stop) for stop in stops))


def names_module(stop: Stop, site: str) -> bool:
    """Whether a stop that names a place names this module's output, or something computed in it."""
    if stop.everywhere:
        return False
    text = stop.pattern.text
    module, role = text.partition(":")[::2]
    inside = bool(role) and bool(module.strip("*")) and SitePattern(module).matches(site)
    return stop.pattern.matches(site) or text == site or inside


def first_of(*places: int | None) -> int | None:
    """The smallest of several places that there may be."""
    return min((place for place in places if place is not None), default=None)


NO_STOPS = StopBook()


def _at(hits: Sequence[Hit], index: int) -> Hit | None:
    at = bisect_left(hits, index, key=lambda hit: hit.index)
    return hits[at] if at < len(hits) and hits[at].index == index else None
