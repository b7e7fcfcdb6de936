"""The angles that a rotary embedding was recorded to give, one per pair of elements, whatever form they came in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.attention.scores import AttentionView, Matrix
from tracetui.recording.record import Record
from tracetui.recording.value import Array

_NAMES = ("rotary", "rope")


@dataclass(frozen=True, eq=False, slots=True)
class Angles:
    """By what each pair of elements turns at each position."""

    cos: Matrix
    """[T,rot/2]"""
    sin: Matrix
    """[T,rot/2]"""
    site: str

    @property
    def pairs(self) -> int:
        return int(self.cos.shape[1])


def angles_before(view: AttentionView, batch: int, widest: int) -> list[Angles]:
    """The different angles recorded before an attention call, each for its positions and at most `widest` elements.

    More than one where kinds of layers have rotary embeddings of their own.
    """
    first: dict[tuple[str, int, int], list[Record]] = {}
    for record in view.trace.records[: view.query.index]:
        if not record.role and any(name in record.site.rpartition(".")[2] for name in _NAMES):
            first.setdefault((record.site, record.pass_, record.call), []).append(record)
    found = (_angles(view, records, batch) for records in first.values())
    return [angles for each in found for angles in each if 2 * angles.pairs <= widest]


def _angles(view: AttentionView, records: list[Record], batch: int) -> Iterator[Angles]:
    queries = view.query.shape[2]
    parts = [_rows(view.trace.value(record).read(), batch) for record in records]
    if any(part.ndim != 2 or part.shape[0] != queries for part in parts):
        return
    if len(parts) == 1 and np.iscomplexobj(parts[0]):
        yield Angles(parts[0].real.astype(np.float32), parts[0].imag.astype(np.float32), records[0].site)
    elif len(parts) == 2 and parts[0].shape == parts[1].shape:
        once = _once(parts[0], parts[1])
        yield Angles(parts[0][:, once].astype(np.float32), parts[1][:, once].astype(np.float32), records[0].site)


def _rows(array: Array, batch: int) -> Array:
    """[B or 1,T,w] → [T,w]."""
    return array[min(batch, len(array) - 1)] if array.ndim == 3 else array


def _once(cos: Array, sin: Array) -> slice:
    """The columns that hold each angle once: it may stand twice, in two halves or side by side."""
    both, half = np.hstack((cos, sin)), cos.shape[1] // 2
    width = 2 * half
    if width == cos.shape[1]:
        halves, sides = both.reshape(len(both), 2, 2, half), both.reshape(len(both), 2, half, 2)
        if np.array_equal(halves[:, :, 0], halves[:, :, 1]):
            return slice(0, half)
        if np.array_equal(sides[..., 0], sides[..., 1]):
            return slice(0, width, 2)
    return slice(0, cos.shape[1])
