"""A run that is one rank of several: which one, and what part of a whole tensor each of its records holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

MIXED_TOKENS = (
    "experts: each rank's run on tokens that all ranks sent them; what is recorded of an expert is in the order in "
    "which they came, and an edit of the choice changes nothing"
)
"""What a run notes whose ranks, each with a batch of its own, send tokens to one another's experts."""


@dataclass(frozen=True, slots=True)
class Parallel:
    """The ranks of a run, and which of them recorded it."""

    world: int
    """How many ranks there are."""
    rank: int | None = None
    """The one that recorded; None in a trace merged from all of them."""
    mesh: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """How many ranks there are along each axis of the device mesh: `{"fsdp": 2, "tp": 4}`."""
    coordinates: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Where along each axis the rank stands; empty in a merged trace."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What belongs beside every result of a rank; nothing of what was merged."""
        if self.rank is None:
            return ()
        part = "of a tensor that lies on several ranks there is this rank's part alone, and its statistics are of it"
        return (f"this is rank {self.rank} of {self.world}: {part}",)


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a whole tensor, cut along one of its dimensions."""

    dimension: int
    """The one that is cut, counted from 0."""
    of: int
    """Into how many parts."""
    at: int
    """Which of them this is, from 0."""
    size: int
    """The length of the whole along it."""
    ranges: tuple[tuple[int, int], ...]
    """Which of its indices are here: first and end of each range, in the order in which they lie here.

    Several where the whole is packed: of gate and up in one, each is cut. None of a part without elements.
    """

    @property
    def offset(self) -> int:
        """The index in the whole of the first one here."""
        return self.ranges[0][0] if self.ranges else 0

    @property
    def length(self) -> int:
        """How many indices are here."""
        return sum(end - first for first, end in self.ranges)

    def whole_index(self, index: int) -> int:
        """Where in the whole an index of this part stands. Raises IndexError."""
        if index >= 0:
            for first, end in self.ranges:
                if index < end - first:
                    return first + index
                index -= end - first
        raise IndexError(f"not an index of {self.length} elements")

    def index_here(self, whole: int) -> int | None:
        """Where in this part an index of the whole stands; None where it is in another."""
        before = 0
        for first, end in self.ranges:
            if first <= whole < end:
                return before + whole - first
            before += end - first
        return None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record's tensor stands in the whole one; with nothing said it is the whole."""

    shards: tuple[Shard, ...] = ()
    """The dimensions that are cut, each at most once."""
    partial: tuple[str, ...] = ()
    """The axes of the mesh over whose ranks it is to be added up."""
    experts: tuple[int, int] | None = None
    """Of a router's choices: the first of the experts that are here, and how many; other choices are -1, weights 0."""

    @property
    def is_whole(self) -> bool:
        return self == WHOLE

    @property
    def words(self) -> str:
        """`32:64 of 64 along dimension 2`; empty for the whole."""
        words = [
            f"{'+'.join(f'{first}:{end}' for first, end in shard.ranges) or 'none'} of {shard.size} along dimension "
            f"{shard.dimension}"
            for shard in self.shards
        ]
        words += ["partial sum"] if self.partial else []
        words += [f"choices of {self.experts[1]} experts from {self.experts[0]}"] if self.experts is not None else []
        return ", ".join(words)

    def whole_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the whole tensor, of which one of this shape is here."""
        sizes = {shard.dimension: shard.size for shard in self.shards}
        return tuple(sizes.get(dimension, length) for dimension, length in enumerate(shape))


WHOLE = Place()


def shard(dimension: int, of: int, at: int, offset: int, length: int, size: int) -> Place:
    """The place of a part that is one range of one dimension: `length` indices from `offset` on, of `size`."""
    return Place((Shard(dimension, of, at, size, ((offset, offset + length),) if length else ()),))


@dataclass(frozen=True, slots=True)
class RankPiece:
    """Of a merged record: which rank had which part of it."""

    rank: int
    place: Place


@dataclass(frozen=True, slots=True)
class UnlikeReplicas:
    """What should be the same tensor on several ranks, and is not."""

    groups: tuple[tuple[int, ...], ...]
    """The ranks that agree bit for bit: the largest group first, whose values the merged trace has."""
    max_abs: float | None = None
    """How far another group's values are from those; None where only statistics tell that they differ."""
    count: int | None = None
    """How many of the elements differ somewhere."""
