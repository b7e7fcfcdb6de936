"""Masks of attention as they are compared: kernels take booleans, or what is added to the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tracetui.recording.value import Array, ArrayValue, Value

HIDDEN = -1e4
"""A mask that is added hides where it adds so little or less: each dtype has its own least number for that."""
_NOTHING = 100.0
"""By how much less than its row's largest a score counts for nothing in a softmax, whatever the dtype."""


def masks_alike(a: Value, b: Value) -> tuple[Value, Value]:
    """Two masks as booleans where they do nothing but hide, else as what is added to the scores.

    What both hide is 0 then, so that it gives no scale to what they add elsewhere.
    """
    added = [_added(value.read()) for value in (a, b)]
    if all(np.isin(mask, (0, HIDDEN)).all() for mask in added):
        added = [mask == 0 for mask in added]
    elif added[0].shape == added[1].shape:
        hidden = (added[0] == HIDDEN) & (added[1] == HIDDEN)
        added = [np.where(hidden, np.float32(0), mask) for mask in added]
    return ArrayValue(added[0], a.dtype), ArrayValue(added[1], b.dtype)


def _added(mask: Array) -> Array:
    if mask.dtype.kind in "bui":
        return np.where(mask != 0, np.float32(0), np.float32(HIDDEN))
    # A NaN stays one.
    return np.maximum(mask, HIDDEN).astype(np.float32)


def biases_alike(a: Value, b: Value) -> tuple[Value, Value]:
    """Two biases [...,S], the largest of each row 0: what is added to all keys of a query makes no difference.

    One that is the same for all queries, or for all prompts, has an axis of length 1 there.
    """
    one, other = (np.maximum(value.read().astype(np.float32), HIDDEN) for value in (a, b))
    if not one.size or not other.size:
        return a, b
    one, other = (side - side.max(axis=-1, keepdims=True) for side in (one, other))
    if one.ndim == other.ndim and all(x == y or 1 in (x, y) for x, y in zip(one.shape, other.shape, strict=True)):
        one, other = np.broadcast_arrays(one, other)
    return ArrayValue(one, a.dtype), ArrayValue(other, b.dtype)


def masked_scores_alike(a: Value, b: Value) -> tuple[Value, Value]:
    """Masked scores [...,S] of both sides, with 0 for keys that get no probability, or all of it, on both.

    Each dtype has its own number for hidden keys, and a row's only visible score may have any value.
    """
    one, other = a.read(), b.read()
    if one.shape != other.shape or not one.size:
        return a, b
    hidden, alone = zip(_told_by_none(one), _told_by_none(other), strict=True)
    same = (hidden[0] & hidden[1]) | (alone[0] & alone[1])
    one, other = (np.where(same, np.float32(0), side) for side in (one, other))
    return ArrayValue(one, a.dtype), ArrayValue(other, b.dtype)


def _told_by_none(scores: Array) -> tuple[Array, Array]:
    """Which scores [...,S] are hidden, and which are the only ones of their rows that aren't."""
    wide = scores.astype(np.float64)
    largest = wide.max(axis=-1, keepdims=True, initial=-np.inf)  # [...,1]
    hidden = wide <= np.where(np.isfinite(largest), largest, 0) - _NOTHING
    seen = ~hidden
    return hidden, seen & (seen.sum(axis=-1, keepdims=True) == 1)


ALIKE: Mapping[str, Callable[[Value, Value], tuple[Value, Value]]] = {
    "mask": masks_alike,
    "masked": masked_scores_alike,
    "position_bias": biases_alike,
}
"""By the role that both sides' records have: what makes their values alike."""
