"""Takes the traces of many ranks one after the other, and keeps of each record who has which part of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tracetui.recording.npz.file_records import FileStatistics, FileValue
from tracetui.recording.parallel import Parallel
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import StatisticsValue, Value, is_kept

Ranges = tuple[tuple[int, int], ...]
Cut = tuple[tuple[int, Ranges], ...]
"""The ranges along each dimension that is cut."""


class PartKey(NamedTuple):
    """Which part of a whole something is: two ranks with the same slot are replicas."""

    cut: Cut
    along: tuple[int, ...]
    """The rank's coordinates along the axes over which the parts are to be added up."""
    experts: tuple[int, int] | None


@dataclass(eq=False, slots=True)
class Holder:
    """Ranks that have the same part, as far as their statistics tell; of values that were kept only one rank."""

    record: Record
    value: Value
    ranks: list[int]

    def says_of(self, record: Record, value: Value) -> bool:
        """Whether it says already all that is known of another rank's part, of which no values were kept."""
        own, other = self.record, record
        alike = (own.shape, own.dtype, own.place) == (other.shape, other.dtype, other.place)
        return alike and not is_kept(self.value) and repr(self.value.statistics()) == repr(value.statistics())


@dataclass(eq=False, slots=True)
class SiteParts:
    """All that ranks have of one record."""

    key: str
    slots: dict[PartKey, list[Holder]] = field(default_factory=dict)

    @property
    def holders(self) -> Iterator[Holder]:
        return (holder for holders in self.slots.values() for holder in holders)

    @property
    def identity(self) -> tuple[tuple[int, ...], ...]:
        """Equal for two records that are one and the same tensor on every rank."""
        return tuple(sorted((holder.ranks[0], id(holder.value)) for holder in self.holders))

    @property
    def ranks(self) -> list[int]:
        return sorted(rank for holder in self.holders for rank in holder.ranks)

    def add(self, rank: int, record: Record, value: Value, along: tuple[int, ...]) -> None:
        """along: the rank's coordinates along the axes over which the record is to be added up."""
        cut = tuple((shard.dimension, shard.ranges) for shard in record.place.shards)
        holders = self.slots.setdefault(PartKey(cut, along, record.place.experts), [])
        alike = None if is_kept(value) else next((each for each in holders if each.says_of(record, value)), None)
        if alike is None:
            holders.append(Holder(record, value, [rank]))
        else:
            alike.ranks.append(rank)


@dataclass(frozen=True, eq=False, slots=True)
class RankTrace:
    """What one rank recorded; `name` is its file's, for people."""

    name: str
    trace: Trace
    parallel: Parallel
    rank: int


@dataclass(eq=False, slots=True)
class Gathered:
    """The records of all ranks by key, each rank's order, and what the ranks say of themselves."""

    ranks: dict[int, Parallel] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    parts: dict[str, SiteParts] = field(default_factory=dict)
    sequences: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    """The ranks of each order of keys."""
    keys_of: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _known: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    heads: list[tuple[int, Trace]] = field(default_factory=list)
    """By rank, a trace without its records: the run, the tokens and the rest."""

    def add(self, ranked: RankTrace) -> None:
        """Take in one rank's trace, of which nothing else needs to stay in memory."""
        rank, trace = ranked.rank, ranked.trace
        self.ranks[rank], self.names[rank] = ranked.parallel, ranked.name
        keys = []
        for record, value in zip(trace.records, trace.values, strict=True):
            parts = self.parts.setdefault(record.key, SiteParts(record.key))
            keys.append(parts.key)
            along = tuple(ranked.parallel.coordinates.get(axis, 0) for axis in record.place.partial)
            parts.add(rank, record, value, along)
        sequence = self._known.setdefault(tuple(keys), tuple(keys))
        self.sequences.setdefault(sequence, []).append(rank)
        self.keys_of[rank] = sequence
        self.heads.append((rank, replace(trace, records=(), values=())))


def ordered(holders: Sequence[Holder], told: Callable[[Value], Statistics | None]) -> tuple[Holder, ...]:
    """The largest group of ranks with the same numbers first, as far as their statistics tell."""
    groups: dict[str, list[Holder]] = defaultdict(list)
    for holder in sorted(holders, key=lambda holder: holder.ranks[0]):
        groups[repr(told(holder.value))].append(holder)
    by_size = sorted(groups.values(), key=lambda group: -sum(len(holder.ranks) for holder in group))
    by_size[0].sort(key=lambda holder: not is_kept(holder.value))
    return tuple(holder for group in by_size for holder in group)


def cheap_statistics(value: Value) -> Statistics | None:
    """The statistics that a file tells; None where they would have to be computed from the values."""
    return value.statistics() if isinstance(value, FileValue | FileStatistics | StatisticsValue) else None
