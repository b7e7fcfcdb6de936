"""Attention's full matrices as values of a trace, computed head by head when somebody reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product

import numpy as np

from tracetui.analysis.attention.kinds import KINDS, Kind
from tracetui.analysis.attention.mla import latent_of
from tracetui.analysis.attention.scores import AttentionView, Matrix, attention_at
from tracetui.recording.keep import MatrixRole
from tracetui.recording.record import AttentionCall, Record
from tracetui.recording.statistics import Statistics, merged, of_array
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, Index, StatisticsValue, Value, is_kept

INPUTS = ("q", "k", "mask", "sinks", "position_bias", "kv_latent", "k_rope", "q_absorbed")
"""Roles that the matrices are computed from."""
_Head = Callable[[int, int], Matrix]


class HeadsValue:
    """Matrices [B,H,T,S] in float32; of those computed the last one stays at hand."""

    dtype = "float32"

    def __init__(self, shape: tuple[int, int, int, int], head: _Head) -> None:
        """head: the matrix [T,S] of a prompt and a head."""
        self._shape = shape
        self._head = head
        self._last: tuple[tuple[int, int], Matrix] | None = None
        self._statistics: Statistics | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    def read(self, index: Index = ()) -> Array:
        """The part `index`; only heads in it are computed."""
        first, second = index[0] if index else slice(None), index[1] if len(index) > 1 else slice(None)
        rest = index[2:]
        batches, heads = _chosen(first, self._shape[0]), _chosen(second, self._shape[1])
        inside = np.broadcast_to(np.float32(0), self._shape[2:])[rest].shape
        found = np.empty((len(batches), len(heads), *inside), np.float32)  # [b,h,…]
        for (b, batch), (h, head) in product(enumerate(batches), enumerate(heads)):
            found[b, h] = self._matrix(batch, head)[rest]
        return np.array(found[tuple(slice(None) if isinstance(part, slice) else 0 for part in (first, second))])

    def statistics(self) -> Statistics:
        if self._statistics is None:
            every = product(range(self._shape[0]), range(self._shape[1]))
            self._statistics = merged(of_array(self._matrix(*each)) for each in every)
        return self._statistics

    def _matrix(self, batch: int, head: int) -> Matrix:
        last = self._last
        if last is None or last[0] != (batch, head):
            last = self._last = ((batch, head), self._head(batch, head))
        return last[1]


def _chosen(part: int | slice, length: int) -> range:
    every = range(length)
    return every[part] if isinstance(part, slice) else every[every[part] :][:1]


def matrix_values(
    path: str, call: AttentionCall, inputs: Mapping[str, Value], roles: tuple[MatrixRole, ...]
) -> Iterator[tuple[MatrixRole, HeadsValue]]:
    """The matrices of one call of the attention module at `path`, of those roles that it has.

    inputs: by role what its kernel received, of `INPUTS`.
    """
    records = tuple(
        Record(index, f"{path}:{role}", value.shape, value.dtype, depth=0)
        for index, (role, value) in enumerate(inputs.items())
    )
    trace = Trace(RunInfo(), (), records, tuple(inputs.values()), {f"{path}:q": call})
    view = next((found for record in records if (found := attention_at(trace, record))), None)
    if view is not None:
        shape = (view.batch, view.heads, view.query.shape[2], view.key.shape[2])
        yield from ((role, HeadsValue(shape, head)) for role in roles if (head := _of_head(view, role)))


def matrix_at(trace: Trace, key: Record, kind: Kind) -> tuple[Record, HeadsValue] | None:
    """A matrix of the attention call whose keys a record holds, as if it had been recorded there."""
    view = attention_at(trace, key)
    if view is None or view.key is not key:
        return None
    shape = (view.batch, view.heads, view.query.shape[2], key.shape[2])
    record = replace(key, site=f"{view.site}:{kind}", shape=shape, dtype=HeadsValue.dtype)
    return record, HeadsValue(shape, lambda batch, head: view.matrix(kind, head, batch))


def _of_head(view: AttentionView, role: MatrixRole) -> _Head | None:
    latent = latent_of(view)
    if role in KINDS:
        return lambda batch, head: view.matrix(role, head, batch)
    return None if latent is None else lambda batch, head: latent.scores(head, batch)


def frozen(value: HeadsValue) -> StatisticsValue:
    """Its statistics, computed now: what it is made from goes away."""
    return StatisticsValue(value.shape, value.dtype, value.statistics())


def all_kept(inputs: Mapping[str, Value]) -> bool:
    return all(map(is_kept, inputs.values()))
