"""The values of a whole tensor, read from the pieces that ranks have: no more of them than is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from tracetui.errors import InputError
from tracetui.formats.narrow_floats import rounded_bfloat16
from tracetui.recording.npz.writer import blocks
from tracetui.recording.parallel import Shard
from tracetui.recording.ranks.overlaps import axes_of, overlaps
from tracetui.recording.statistics import Statistics, merged, of_array
from tracetui.recording.value import Array, Index, Value


class WholeValue:
    """A tensor that is put together when it is read."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self._statistics: Statistics | None = None

    def read(self, index: Index = ()) -> Array:
        raise NotImplementedError

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = self._counted()
        return self._statistics

    def _counted(self) -> Statistics:
        return merged(of_array(np.ascontiguousarray(self.read(index))) for index in blocks(self.shape, 8))


@dataclass(frozen=True, eq=False, slots=True)
class ShardValue:
    """One part of a tensor: the dimensions that are cut, and the values."""

    shards: tuple[Shard, ...]
    value: Value


class ShardedValue(WholeValue):
    """SiteParts beside each other, which cover the whole without overlapping."""

    def __init__(self, shape: tuple[int, ...], dtype: str, parts: Sequence[ShardValue]) -> None:
        super().__init__(shape, dtype)
        self._parts = tuple(parts)

    def read(self, index: Index = ()) -> Array:
        axes = axes_of(self.shape, index)
        forwards = tuple(axis[::-1] if axis.step < 0 else axis for axis in axes)
        first: Array | None = None
        whole = np.empty(0)
        for part in self._parts:
            for to, at in overlaps(part.shards, forwards):
                values = part.value.read(at)
                if first is None:
                    first, whole = values, np.empty([len(axis) for axis in forwards], values.dtype)
                whole[to] = values
        if first is None:
            whole = np.empty([len(axis) for axis in forwards], self._parts[0].value.read(_nothing(self.shape)).dtype)
        return np.ascontiguousarray(whole[_as_asked(axes, index)])

    def _counted(self) -> Statistics:
        """From those of the parts: counts and extremes exactly, sums in float64."""
        return merged(part.value.statistics() for part in self._parts)


def _nothing(shape: tuple[int, ...]) -> Index:
    return (slice(0, 0),) * len(shape)


def _as_asked(axes: tuple[range, ...], index: Index) -> Index:
    """Turns round what was read forwards, and drops the axes of which one element was asked for."""
    steps: list[int | slice] = []
    for place, axis in enumerate(axes):
        is_one = place < len(index) and not isinstance(index[place], slice)
        steps.append(0 if is_one else slice(None, None, -1 if axis.step < 0 else 1))
    return tuple(steps)


class SummedValue(WholeValue):
    """SiteParts that are added up, in float64, and rounded once."""

    def __init__(self, parts: Sequence[Value]) -> None:
        super().__init__(parts[0].shape, parts[0].dtype)
        self._parts = tuple(parts)

    def read(self, index: Index = ()) -> Array:
        first, *others = (part.read(index) for part in self._parts)
        wide = np.complex128 if first.dtype.kind == "c" else np.float64 if first.dtype.kind == "f" else first.dtype
        total = first.astype(wide)
        for other in others:
            total += other
        total = np.asarray(total, first.dtype)
        return rounded_bfloat16(total) if self.dtype == "bfloat16" else total


class ChosenValue(WholeValue):
    """Routers' choices, of which each rank has those of its own experts and -1 for the others."""

    def __init__(self, name: str, parts: Sequence[Value]) -> None:
        super().__init__(parts[0].shape, parts[0].dtype)
        self._name = name
        self._parts = tuple(parts)

    def read(self, index: Index = ()) -> Array:
        """Raises InputError where two ranks have a choice, or none has."""
        parts = np.stack([part.read(index) for part in self._parts])
        holders = (parts >= 0).sum(axis=0)
        if parts.size and not np.all(holders == 1):
            wrong = int(np.count_nonzero(holders != 1))
            problem = f"{wrong:,} choices are on no rank, or on several: of each choice one rank must have the expert"
            raise InputError(f"{self._name}: {problem}")
        return np.asarray(parts.max(axis=0) if parts.size else parts[0])


Checked = Callable[[Index, Array, Array], None]
"""Hears of a part that was read of two replicas which are not the same bits."""


class ReplicatedValue(WholeValue):
    """The same tensor on several ranks: one of them is read, the others when they shall be held against it."""

    def __init__(self, chosen: Value, others: Sequence[Value], unlike: Callable[[int], None]) -> None:
        """unlike: hears the number of one of the others that differs."""
        super().__init__(chosen.shape, chosen.dtype)
        self._chosen = chosen
        self._others = tuple(others)
        self._unlike = unlike

    def read(self, index: Index = ()) -> Array:
        values = self._chosen.read(index)
        for number, other in enumerate(self._others):
            if not same_bits(values, other.read(index)):
                self._unlike(number)
        return values

    def _counted(self) -> Statistics:
        return self._chosen.statistics()


def same_bits(one: Array, other: Array) -> bool:
    """Whether two arrays are the same bytes; NaN with another payload is another number."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    a, b = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (one, other))
    if prod(a.shape) % 8 == 0:
        a, b = a.view(np.uint64), b.view(np.uint64)
    return bool(np.array_equal(a, b))
