"""How the values of one side are laid out, so that they stand as the other side's do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from math import prod

import numpy as np

from tracetui.recording.value import Array

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A conversion of one array."""

    name: str
    """In words; empty if nothing is done."""
    apply: Callable[[Array], Array]

    def then(self, other: Layout) -> Layout:
        """This conversion, and `other` after it."""
        if self is SAME or other is SAME:
            return other if self is SAME else self
        return Layout(", ".join(filter(None, (self.name, other.name))), lambda array: other.apply(self.apply(array)))


SAME = Layout("", lambda array: array)


def layouts(wanted: Shape, found: Shape) -> Iterator[Layout]:
    """The conversions that make `found` the shape `wanted`, the likeliest first: none, axes of 1, heads, reversed.

    After these the same of [T,B,D] put before the batch, as Megatron has it.
    """
    yield from _batch_first(wanted, found)
    turned = Layout("tokens before the batch", lambda array: array.swapaxes(0, 1))
    if len(found) == 3 and found[1:2] == wanted[:1] != found[:1]:
        yield from (turned.then(layout) for layout in _batch_first(wanted, _turned(found)))
    if len(wanted) == 3 and wanted[1:2] == found[:1] != wanted[:1]:
        yield from (layout.then(turned) for layout in _batch_first(_turned(wanted), found))


@lru_cache(maxsize=1 << 10)
def every_layout(wanted: Shape, found: Shape) -> tuple[Layout, ...]:
    """All of them, kept for the next tensors of these shapes: a file may hold hundreds of thousands."""
    return tuple(layouts(wanted, found))


def _turned(shape: Shape) -> Shape:
    return (shape[1], shape[0], *shape[2:])


def _batch_first(wanted: Shape, found: Shape) -> Iterator[Layout]:
    if wanted == found:
        yield SAME
    elif _without_ones(wanted) == _without_ones(found):
        yield _reshaped("with other axes of length 1", wanted)
    elif _rows(wanted) == _rows(found) and len(wanted) != len(found) and wanted[-1:] == found[-1:]:
        yield _reshaped("batch and tokens in one axis", wanted)
    yield from chain(_to_flat(wanted, found), _to_heads(wanted, found), _swapped_heads(wanted, found))
    yield from _shared_heads(wanted, found)
    if len(found) > 1 and _without_ones(wanted) == _without_ones(found[::-1]) and wanted != found:
        yield Layout("axes reversed", lambda array: array.T).then(_reshaped("", wanted))


def _reshaped(name: str, shape: Shape) -> Layout:
    return Layout(name, lambda array: array.reshape(shape))


def _without_ones(shape: Shape) -> Shape:
    return tuple(length for length in shape if length != 1)


def _rows(shape: Shape) -> int:
    return prod(shape[:-1])


def _batched(shape: Shape, rank: int) -> Shape | None:
    """The shape with a leading batch axis if it lacks one."""
    if len(shape) == rank:
        return shape
    return (1, *shape) if len(shape) == rank - 1 else None


def _to_flat(wanted: Shape, found: Shape) -> Iterator[Layout]:
    """[B,H,T,K] or [B,T,H,K] to [B,T,H·K]."""
    flat, heads = _batched(wanted, 3), _batched(found, 4)
    if flat is None or heads is None or len(_without_ones(found)) < 2 or len(wanted) == len(found) + 1:
        return
    batch, one, other, size = heads
    if flat == (batch, one, other * size):
        yield _reshaped("heads side by side", wanted)
    if flat == (batch, other, one * size):
        yield Layout("heads side by side", lambda array: array.reshape(heads).swapaxes(1, 2).reshape(wanted))


def _to_heads(wanted: Shape, found: Shape) -> Iterator[Layout]:
    """[B,T,H·K] to [B,H,T,K] or [B,T,H,K]."""
    heads, flat = _batched(wanted, 4), _batched(found, 3)
    if heads is None or flat is None or len(wanted) < 3 or len(found) > len(wanted):
        return
    batch, one, other, size = heads
    if flat == (batch, one, other * size):
        yield _reshaped("heads split", wanted)
    if flat == (batch, other, one * size):
        split = (batch, other, one, size)
        yield Layout("heads split", lambda array: array.reshape(split).swapaxes(1, 2).reshape(wanted))


def _swapped_heads(wanted: Shape, found: Shape) -> Iterator[Layout]:
    """[B,H,T,K] to [B,T,H,K] and back."""
    here, there = _batched(wanted, 4), _batched(found, 4)
    if here is None or there is None or len(wanted) < 3 or len(found) < 3:
        return
    if here == (there[0], there[2], there[1], there[3]):
        yield Layout("heads and tokens swapped", lambda array: array.reshape(there).swapaxes(1, 2).reshape(wanted))


def _shared_heads(wanted: Shape, found: Shape) -> Iterator[Layout]:
    """Key-value heads [B,G,S,K] to [B,H,S,K], each for all query heads that share it, and back."""
    if len(wanted) != 4 or len(found) != 4 or (wanted[0], *wanted[2:]) != (found[0], *found[2:]):
        return
    here, there = wanted[1], found[1]
    if there and here > there and here % there == 0:
        yield Layout("key-value heads repeated", lambda array: array.repeat(here // there, axis=1))
    if here and there > here and there % here == 0:
        yield Layout("repeated key-value heads once", lambda array: _once(array, here))


def _once(array: Array, heads: int) -> Array:
    """Of each run of repeated heads one; where they are not all alike, at each place the value furthest from it."""
    runs = array.reshape(array.shape[0], heads, -1, *array.shape[2:])  # [B,G,r,S,K]
    first = runs[:, :, :1]
    if (runs == first).all():
        return first[:, :, 0]
    furthest = np.abs(runs.astype(np.float64) - first).argmax(axis=2, keepdims=True)
    return np.take_along_axis(runs, furthest, axis=2)[:, :, 0]


def halves_from_pairs(size: int) -> Layout:
    """For RoPE: the adjacent pairs of each head of `size` values put into two halves, as transformers turns them."""

    def apply(array: Array) -> Array:
        if not _has_heads(array, size):
            return array
        split = array.reshape(*array.shape[:-1], array.shape[-1] // size, size // 2, 2)
        return np.ascontiguousarray(split.swapaxes(-1, -2)).reshape(array.shape)

    return Layout("RoPE pairs put into halves", apply)


def pairs_from_halves(size: int) -> Layout:
    """The reverse of `halves_from_pairs`."""

    def apply(array: Array) -> Array:
        if not _has_heads(array, size):
            return array
        split = array.reshape(*array.shape[:-1], array.shape[-1] // size, 2, size // 2)
        return np.ascontiguousarray(split.swapaxes(-1, -2)).reshape(array.shape)

    return Layout("RoPE halves put into pairs", apply)


def _has_heads(array: Array, size: int) -> bool:
    """Whether the last axis is made of whole heads; what a map says of other tensors means nothing."""
    return array.ndim > 0 and array.shape[-1] % size == 0


def transposed() -> Layout:
    """The last two axes swapped."""
    return Layout("transposed", lambda array: array.swapaxes(-1, -2) if array.ndim > 1 else array)


def part(start: int, length: int, name: str) -> Layout:
    """A piece of the last axis: q of a fused q, k and v."""
    return Layout(name, lambda array: array[..., start : start + length] if array.ndim else array)
