"""What in sound inputs makes a NaN or an infinity of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracetui.recording.health import LARGEST
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, NotKeptError

_AFTER_SOFTMAX = ("probs", "heads")
_NARROW = {**LARGEST, "float32": float(np.finfo(np.float32).max)}
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class HiddenRows:
    """Rows of an attention mask that hide every key: a softmax over nothing is NaN."""

    mask: Record
    rows: tuple[tuple[int, int], ...]
    """Prompt and query position of each."""
    keys: int
    """How many keys a row has."""


@dataclass(frozen=True, slots=True)
class ZeroRows:
    """Rows of an input that are all zeros, where a norm divides by their size."""

    source: Record
    rows: tuple[int, ...]
    """Counted over all axes but the last."""


@dataclass(frozen=True, slots=True)
class ScoresOverflow:
    """Products of queries and keys beyond the largest number of their dtype."""

    dtype: str
    reached: float
    """The largest magnitude of q·k in the first bad row."""


Cause = HiddenRows | ZeroRows | ScoresOverflow


def cause_of(trace: Trace, record: Record, fed_by: Sequence[Record]) -> Cause | None:
    """Why a record isn't finite although all that feeds it is; None where that isn't plain from the values.

    Named only if it accounts for every element that isn't finite.
    """
    try:
        values = trace.value(record).read()
        return _hidden_rows(trace, record, values, fed_by) or _of_values(trace, record, values, fed_by)
    except NotKeptError:
        return None


def _of_values(trace: Trace, record: Record, values: Array, fed_by: Sequence[Record]) -> Cause | None:
    if record.role in _AFTER_SOFTMAX:
        inputs = {fed.role: fed for fed in fed_by}
        both = {"q", "k"} <= inputs.keys()
        return _scores_overflow(trace, values, inputs["q"], inputs["k"]) if both else None
    return _zero_rows(trace, values, fed_by)


def _hidden_rows(trace: Trace, record: Record, values: Array, fed_by: Sequence[Record]) -> HiddenRows | None:
    """Of attention's heads [B,H,T,Kv] or probabilities [B,H,T,S]: whether all that is bad lies in hidden rows."""
    mask = next((fed for fed in fed_by if fed.role == "mask"), None)
    if mask is None or record.role not in _AFTER_SOFTMAX or values.ndim != 4 or len(mask.shape) != 4:
        return None
    bad = ~np.isfinite(values).all(axis=-1)  # [B,H,T]
    hidden = np.broadcast_to(_hides_all(trace, mask), bad.shape)  # [B,H,T]
    if not hidden.any() or (bad & ~hidden).any():
        return None
    rows = np.argwhere((bad & hidden).any(axis=1))  # [n,2]
    return HiddenRows(mask, tuple((int(prompt), int(query)) for prompt, query in rows), mask.shape[-1])


def _hides_all(trace: Trace, mask: Record) -> Array:
    """Which rows [B,1 or H,T] of a mask leave no key: no True in it, or nothing but -inf."""
    value = trace.value(mask)
    hidden = np.zeros(mask.shape[:-1], np.bool_)  # [B,1 or H,T]
    for start in range(0, mask.shape[2], _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        rows = value.read((slice(None), slice(None), part))  # [B,1 or H,t,S]
        hidden[:, :, part] = ~rows.any(axis=-1) if rows.dtype == np.bool_ else np.isneginf(rows).all(axis=-1)
    return hidden


def _scores_overflow(trace: Trace, values: Array, query: Record, key: Record) -> ScoresOverflow | None:
    """Whether q·k of the first bad row is beyond the dtype's largest number."""
    places = np.argwhere(~np.isfinite(values).all(axis=-1))  # [n,3]
    if query.dtype not in _NARROW or not len(places) or len(query.shape) != 4 or len(key.shape) != 4:
        return None
    prompt, head, row = map(int, places[0])
    group = head * key.shape[1] // query.shape[1]
    q = trace.value(query).read((prompt, head, row)).astype(np.float64)  # [K]
    k = trace.value(key).read((prompt, group)).astype(np.float64)  # [S,K]
    reached = float(np.abs(k @ q).max())
    return ScoresOverflow(query.dtype, reached) if reached > _NARROW[query.dtype] else None


def _zero_rows(trace: Trace, values: Array, fed_by: Sequence[Record]) -> ZeroRows | None:
    """Of a row-by-row function of one input: whether the bad rows are those whose input is all zeros."""
    if len(fed_by) != 1 or fed_by[0].shape != values.shape or values.ndim < 2:
        return None
    source = fed_by[0]
    bad = ~np.isfinite(values).all(axis=-1).reshape(-1)  # [N]
    zero = ~trace.value(source).read().any(axis=-1).reshape(-1)  # [N]
    if not bad.any() or (bad & ~zero).any():
        return None
    return ZeroRows(source, tuple(np.flatnonzero(bad).tolist()))
