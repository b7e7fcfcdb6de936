"""Whether ranks that should have the same tensor have it, bit for bit; and if not, who agrees and how far they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from tracetui.recording.npz.array_file import StoredValue
from tracetui.recording.npz.writer import blocks
from tracetui.recording.parallel import UnlikeReplicas
from tracetui.recording.ranks.gather import Holder, cheap_statistics, ordered
from tracetui.recording.ranks.values import ReplicatedValue, same_bits
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Value, is_kept

Unit = Callable[[str], float]
"""How far apart, relative, values of a dtype are by rounding alone."""


class TakenReplicas:
    """Takes one rank's values, and tells which differ by the statistics in the files: no values are read."""

    def __init__(self) -> None:
        self.unlike: dict[str, UnlikeReplicas] = {}

    def value(self, key: str, holders: Sequence[Holder]) -> Value:
        ranked = ordered(holders, cheap_statistics)
        groups: dict[str, list[int]] = defaultdict(list)
        for holder in ranked:
            groups[repr(cheap_statistics(holder.value))].extend(holder.ranks)
        if len(groups) > 1:
            self.unlike.setdefault(key, UnlikeReplicas(tuple(tuple(sorted(ranks)) for ranks in groups.values())))
        return ranked[0].value


class IgnoredReplicas(TakenReplicas):
    """Takes the lowest rank's values, whatever the others have."""

    def value(self, key: str, holders: Sequence[Holder]) -> Value:
        return min(holders, key=lambda holder: (not is_kept(holder.value), holder.ranks[0])).value


class ComparedReplicas(Mapping[str, UnlikeReplicas]):
    """Holds each replica against the one that is taken, while that is read; what it maps is measured when asked for.

    unit: of differences within it nothing is said.
    """

    def __init__(self, unit: Unit | None = None) -> None:
        self._unit = unit
        self._noted: dict[str, tuple[Holder, ...]] = {}
        self._measured: dict[str, UnlikeReplicas | None] = {}

    @property
    def unlike(self) -> Mapping[str, UnlikeReplicas]:
        return self

    def value(self, key: str, holders: Sequence[Holder]) -> Value:
        ranked = ordered(holders, lambda value: value.statistics())
        chosen, others = ranked[0], ranked[1:]
        if any(repr(holder.value.statistics()) != repr(chosen.value.statistics()) for holder in others):
            self._noted.setdefault(key, ranked)
            return chosen.value
        kept = [
            each.value for each in others if is_kept(each.value) and not _same_by_checksum(each.value, chosen.value)
        ]
        if not kept or not is_kept(chosen.value):
            return chosen.value
        return ReplicatedValue(chosen.value, kept, lambda number: self._note(key, ranked))

    def _note(self, key: str, ranked: tuple[Holder, ...]) -> None:
        self._noted.setdefault(key, ranked)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[str]:
        return (key for key in list(self._noted) if self._find(key) is not None)

    def __getitem__(self, key: str) -> UnlikeReplicas:
        found = self._find(key) if key in self._noted else None
        if found is None:
            raise KeyError(key)
        return found

    def _find(self, key: str) -> UnlikeReplicas | None:
        if key not in self._measured:
            self._measured[key] = measured(self._noted[key], self._unit)
        return self._measured[key]


def _same_by_checksum(one: Value, other: Value) -> bool:
    """Whether two files say of their bytes what is said of the same bytes; what isn't sure is read."""
    if not (isinstance(one, StoredValue) and isinstance(other, StoredValue)):
        return False
    return bool(one.checksum) and (one.checksum, one.shape, one.dtype) == (other.checksum, other.shape, other.dtype)


def measured(holders: Sequence[Holder], unit: Unit | None = None) -> UnlikeReplicas | None:
    """Who agrees with whom and how far the others are from the first; None if they are the same, or within `unit`."""
    groups: list[list[Holder]] = []
    for holder in holders:
        group = next((group for group in groups if _agree(group[0].value, holder.value)), None)
        groups.append([holder]) if group is None else group.append(holder)
    if len(groups) == 1:
        return None
    ranks = tuple(tuple(sorted(rank for holder in group for rank in holder.ranks)) for group in groups)
    values = [group[0].value for group in groups]
    if not all(map(is_kept, values)):
        return UnlikeReplicas(ranks)
    limit = 0.0 if unit is None else unit(holders[0].record.dtype)
    max_abs, count, beyond = _distance(values, limit, values[0].statistics())
    return UnlikeReplicas(ranks, max_abs, count) if beyond or unit is None else None


def _agree(one: Value, other: Value) -> bool:
    if not (is_kept(one) and is_kept(other)):
        return repr(one.statistics()) == repr(other.statistics())
    return all(same_bits(one.read(index), other.read(index)) for index in blocks(one.shape, 8))


def _distance(values: Sequence[Value], limit: float, statistics: Statistics) -> tuple[float, int, int]:
    """The largest difference from the first, how many elements differ, and how many of them by more than the limit.

    Where one is NaN or infinite and the other isn't the same, they are infinitely far apart.
    """
    scale = statistics.l2 / max(1, statistics.finite_count) ** 0.5 if statistics.finite_count else 0.0
    farthest, count, beyond = 0.0, 0, 0
    for index in blocks(values[0].shape, 8):
        own = np.asarray(values[0].read(index))
        for value in values[1:]:
            other = np.asarray(value.read(index))
            same = (own == other) | (np.isnan(own) & np.isnan(other))
            with np.errstate(invalid="ignore", over="ignore"):
                apart = np.abs(own.astype(_wide(own)) - other.astype(_wide(own)))
                far = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
                past = far > limit * (scale + np.abs(own))
            farthest = max(farthest, float(far.max(initial=0.0)))
            count, beyond = count + int(np.count_nonzero(~same)), beyond + int(np.count_nonzero(past & ~same))
    return farthest, count, beyond


def _wide(array: np.ndarray) -> type[np.generic]:
    return np.complex128 if array.dtype.kind == "c" else np.float64
