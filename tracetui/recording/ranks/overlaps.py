"""Which elements of a whole tensor, of those that are asked for, lie in one part of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tracetui.recording.parallel import Place, Shard
from tracetui.recording.value import Array, Index, Value

Slices = tuple[slice, ...]
Overlap = tuple[Slices, Slices]
"""Where elements stand among those asked for, and where in the part."""


def axes_of(shape: tuple[int, ...], index: Index) -> tuple[range, ...]:
    """Which indices of each axis are asked for. Raises IndexError."""
    axes = []
    for axis, length in enumerate(shape):
        chosen = index[axis] if axis < len(index) else slice(None)
        every = range(length)
        if isinstance(chosen, slice):
            axes.append(every[chosen])
        else:
            at = every[chosen]
            axes.append(range(at, at + 1))
    return tuple(axes)


def overlaps(shards: Sequence[Shard], axes: Sequence[range]) -> Iterable[Overlap]:
    """What of a part is asked for, a pair for each range of it."""
    pairs: list[Overlap] = [((), ())]
    cut = {shard.dimension: shard for shard in shards}
    for dimension, axis in enumerate(axes):
        ranges = _along(cut[dimension], axis) if dimension in cut else [(slice(None), _slice(axis))]
        pairs = [((*to, here), (*at, there)) for to, at in pairs for here, there in ranges]
    return (pair for pair in pairs if all(len(axis) for axis in axes))


def _along(shard: Shard, axis: range) -> list[tuple[slice, slice]]:
    """The same along one dimension, once for each of the part's ranges."""
    overlaps, before = [], 0
    for first, end in shard.ranges:
        start = max(0, -(-(first - axis.start) // axis.step))
        stop = min(len(axis), -(-(end - axis.start) // axis.step))
        if start < stop:
            chosen = axis[start:stop]
            local = range(chosen.start - first + before, chosen[-1] - first + before + 1, axis.step)
            overlaps.append((slice(start, stop), _slice(local)))
        before += end - first
    return overlaps


def _slice(axis: range) -> slice:
    return slice(axis.start, axis.stop, axis.step)


def without_single_axes(shape: Sequence[int], index: Index) -> list[int]:
    """The shape of what is asked for, without the axes of which one element is."""
    single = [place < len(index) and not isinstance(index[place], slice) for place in range(len(shape))]
    return [length for length, is_single in zip(shape, single, strict=True) if not is_single]


def read_here(value: Value, place: Place, index: Index) -> Array | None:
    """What lies here of a part of the whole tensor; None where nothing does. Raises IndexError."""
    axes = axes_of(place.whole_shape(value.shape), index)
    parts = [value.read(at) for _, at in overlaps(place.shards, axes)]
    if not parts:
        return None
    # Several are the ranges of one dimension, such as gate's and up's in one.
    together = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=place.shards[0].dimension)
    return together.reshape(without_single_axes(together.shape, index))
