"""A run cut into so many columns: which records each stands for, and how large they are."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tracetui.analysis.timeline.pyramid import Floats, Ints

Place = tuple[int, int]
"""The index of a record, and the number of what begins there."""


@dataclass(frozen=True, eq=False, slots=True)
class TimelineColumns:
    """From left to right; one record a column while there is room."""

    edges: Ints
    """[columns + 1]: the record with which each begins, and where the last one ends."""
    norms: Floats
    """[columns]: the largest norm of each; -inf where no record has one."""
    broken: npt.NDArray[np.bool_]
    """[columns]: whether a record has NaN, or an infinity that hides nothing."""
    layers: tuple[Place, ...] = ()
    """The columns in which a layer begins, and its number; the first one's where several do."""
    passes: tuple[Place, ...] = ()

    def __len__(self) -> int:
        return len(self.norms)

    def column_of(self, index: int) -> int:
        """The column of a record; -1 where it has none."""
        if not 0 <= index < self.edges[-1]:
            return -1
        return int(np.searchsorted(self.edges, index, "right")) - 1

    def holding(self, places: Sequence[int]) -> frozenset[int]:
        """The columns of some records, given in order. O(columns), however many these are."""
        return frozenset(column for column, _ in first_in(self.edges, places))


NO_COLUMNS = TimelineColumns(np.zeros(1, np.int64), np.zeros(0), np.zeros(0, bool))


def edges_of(count: int, width: int, grows: bool) -> tuple[Ints, int]:
    """The edges of at most `width` columns for `count` records, and the level of the pyramid on which they lie.

    Where more records are to come (`grows`) a column stands for 1, 2, 3, 4, 6, 8, 12, … of them, so that what is drawn
    stays where it is until they no longer fit. Else the width is filled.
    """
    if count <= width:
        return np.arange(count + 1), 0
    if grows:
        size = next(size for size in _sizes() if size * width >= count)
        level = max(0, (size & -size).bit_length() - 1)
        columns = -(-count // size)
        return np.minimum(np.arange(columns + 1) * size, count), level
    level = max(0, math.floor(math.log2(count / width)) - 2)
    edges = np.arange(width + 1) * count // width >> level << level
    edges[-1] = count
    return edges, level


def _sizes() -> Sequence[int]:
    return [1, *(size for power in range(1, 50) for size in (2**power, 3 * 2 ** (power - 1)))]


def first_in(edges: Ints, places: Sequence[int]) -> list[Place]:
    """For each column with places in it, given in order, the column and the index of the first of them."""
    inside = []
    at = 0
    for column, (begin, end) in enumerate(pairwise(edges.tolist())):
        at = bisect_left(places, begin, at)
        if at == len(places):
            break
        if places[at] < end:
            inside.append((column, at))
    return inside
