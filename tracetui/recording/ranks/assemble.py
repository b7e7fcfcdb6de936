"""Puts the parts that ranks have of one record together, or says why they don't add up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Protocol

from tracetui.recording.parallel import Parallel, Place, RankPiece, Shard
from tracetui.recording.ranks.gather import Cut, Holder, PartKey, Ranges, SiteParts
from tracetui.recording.ranks.values import ChosenValue, ShardedValue, ShardValue, SummedValue
from tracetui.recording.record import Record
from tracetui.recording.value import StatisticsValue, Value, is_kept
from tracetui.text import visible

_FEW = 8


class MisfitError(Exception):
    """The parts of one record don't make a whole; the text says why, without the record's name."""


class UnknowableError(Exception):
    """A sum of which only the parts' statistics were kept: they say nothing of its own."""


@dataclass(frozen=True, eq=False, slots=True)
class Whole:
    """One record of the merged trace."""

    first: Record
    """As the lowest of its ranks recorded it."""
    shape: tuple[int, ...]
    value: Value
    pieces: tuple[RankPiece, ...]
    """Empty where each of its ranks had all of it."""


class ReplicaChoice(Protocol):
    """Picks the value of a part that several ranks have."""

    def value(self, key: str, holders: Sequence[Holder]) -> Value: ...


def assembled(parts: SiteParts, ranks: Mapping[int, Parallel], replicas: ReplicaChoice) -> Whole:
    """Raises MisfitError and UnknowableError."""
    holders = sorted(parts.holders, key=lambda holder: holder.ranks[0])
    first, place = holders[0].record, holders[0].record.place
    _check_alike(holders)
    if not place.is_whole:
        _check_coverage(parts.slots, ranks)
    values = {slot: replicas.value(parts.key, slots) for slot, slots in parts.slots.items()}
    shape = place.whole_shape(first.shape)
    if place.is_whole:
        return Whole(first, shape, next(iter(values.values())), ())
    pieces = [RankPiece(min(slots, key=_lowest).ranks[0], slots[0].record.place) for slots in parts.slots.values()]
    summed = _summed(parts.key, values, place)
    if place.shards:
        shards = {slot.cut: slots[0].record.place.shards for slot, slots in parts.slots.items()}
        value = _sharded(shape, first.dtype, shards, summed)
    else:
        value = next(iter(summed.values()))
    return Whole(first, shape, value, tuple(sorted(pieces, key=lambda piece: piece.rank)))


def _lowest(holder: Holder) -> int:
    return holder.ranks[0]


def _check_alike(holders: Sequence[Holder]) -> None:
    """What all of the parts must have in common."""
    first = holders[0]
    for holder in holders[1:]:
        for name, one, other in (
            ("dtype", first.record.dtype, holder.record.dtype),
            ("place", _kind(first.record), _kind(holder.record)),
            ("shape", _whole_shape(first.record), _whole_shape(holder.record)),
        ):
            if one != other:
                ranks = f"rank {first.ranks[0]} has", f"rank {holder.ranks[0]}"
                raise MisfitError(
                    f"{ranks[0]} the {name} {visible(str(one), 80)}, {ranks[1]} {visible(str(other), 80)}"
                )


def _whole_shape(record: Record) -> list[int]:
    return list(record.place.whole_shape(record.shape))


def _kind(record: Record) -> str:
    """What a place says of all parts alike."""
    place = record.place
    words = [f"1 of {shard.of} along dimension {shard.dimension}" for shard in place.shards]
    words += [f"a partial sum over {', '.join(place.partial)}"] if place.partial else []
    words += ["some of the experts"] if place.experts is not None else []
    return " and ".join(words) or "whole"


def _check_coverage(slots: Mapping[PartKey, Sequence[Holder]], ranks: Mapping[int, Parallel]) -> None:
    first = next(iter(slots.values()))[0]
    cuts = {slot.cut for slot in slots}
    for place, shard in enumerate(first.record.place.shards):
        _check_dimension(shard, {cut[place][1]: None for cut in cuts}, slots, place)
    expected = prod(len({cut[place][1] for cut in cuts}) for place in range(len(first.record.place.shards)))
    if len(cuts) != expected:
        raise MisfitError(f"{expected} parts make the whole, and {len(cuts)} of them are there")
    if first.record.place.partial:
        _check_sum(slots, first, ranks)
    if first.record.place.experts is not None:
        _check_experts(slots)


def _check_dimension(
    shard: Shard, ranges: Iterable[Ranges], slots: Mapping[PartKey, Sequence[Holder]], place: int
) -> None:
    """Along one dimension the parts must cover the whole, each index once."""
    holder_of = {piece: found[0].ranks[0] for slot, found in slots.items() for piece in slot.cut[place][1]}
    end = 0
    for first, after in sorted(piece for each in ranges for piece in each):
        if first != end:
            what = "is missing" if first > end else "is there twice"
            wrong = (end, first) if first > end else (first, min(end, after))
            raise MisfitError(
                f"of {shard.size} along dimension {shard.dimension} {wrong[0]}:{wrong[1]} {what}; {_holders(holder_of)}"
            )
        end = after
    if end != shard.size:
        raise MisfitError(
            f"of {shard.size} along dimension {shard.dimension} {end}:{shard.size} is missing; {_holders(holder_of)}"
        )


def _holders(holder_of: Mapping[tuple[int, int], int]) -> str:
    texts = [f"rank {rank} has {first}:{end}" for (first, end), rank in sorted(holder_of.items())]
    return ", ".join(texts[:_FEW]) + (f" and {len(texts) - _FEW} more" if len(texts) > _FEW else "")


def _check_sum(slots: Mapping[PartKey, Sequence[Holder]], first: Holder, ranks: Mapping[int, Parallel]) -> None:
    """Of each part along a dimension there must be one addend for each rank along the axes that are added up."""
    mesh, partial = ranks[first.ranks[0]].mesh, first.record.place.partial
    every = set(product(*(range(mesh[axis]) for axis in partial)))
    for cut in {slot.cut for slot in slots}:
        missing = every - {slot.along for slot in slots if slot.cut == cut}
        if missing:
            at = ", ".join(f"{axis} {number}" for axis, number in zip(partial, min(missing), strict=True))
            raise MisfitError(f"is a sum of {len(every)} parts, of which {len(missing)} are missing: that of {at}")


def _check_experts(slots: Mapping[PartKey, Sequence[Holder]]) -> None:
    """Replicas of choices have the same experts; parts have others."""
    spans: dict[tuple[int, int], int] = {}
    for holders in slots.values():
        for holder in holders:
            if holder.record.place.experts is not None:
                spans.setdefault(holder.record.place.experts, holder.ranks[0])
    end = 0
    for first, count in sorted(spans):
        if first != end:
            what = f"experts {end} to {first - 1} are on no rank" if first > end else f"expert {first} is on two ranks"
            raise MisfitError(what)
        end = first + count


def _summed(key: str, values: Mapping[PartKey, Value], place: Place) -> dict[Cut, Value]:
    """One value for each part along the dimensions."""
    if not place.partial and place.experts is None:
        return {slot.cut: value for slot, value in values.items()}
    if not all(map(is_kept, values.values())):
        raise UnknowableError
    addends: dict[Cut, list[Value]] = defaultdict(list)
    for slot, value in values.items():
        addends[slot.cut].append(value)
    is_choice = place.experts is not None and next(iter(values.values())).dtype.startswith(("int", "uint"))
    return {cut: ChosenValue(visible(key), each) if is_choice else SummedValue(each) for cut, each in addends.items()}


def _sharded(
    shape: tuple[int, ...], dtype: str, shards: Mapping[Cut, tuple[Shard, ...]], values: Mapping[Cut, Value]
) -> Value:
    whole = ShardedValue(shape, dtype, [ShardValue(shards[cut], value) for cut, value in values.items()])
    return whole if all(map(is_kept, values.values())) else StatisticsValue(shape, dtype, whole.statistics())
