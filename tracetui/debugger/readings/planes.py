"""Which matrix of a tensor is on view: the last two axes, the ones before fixed by head and prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.axes import Axis, axes_of, split_heads
from tracetui.recording.record import Record
from tracetui.recording.value import Array, Index, Value, magnitudes


@dataclass(frozen=True, slots=True)
class Plane:
    """A matrix within a tensor, and in words which one."""

    rows: Axis
    columns: Axis
    leading: tuple[int, ...] = ()
    """Indices of the axes before; for a flat tensor its rank decides."""
    column0: int = 0
    """Where its columns start in the tensor's last axis."""
    rank: int = 2
    note: str = ""
    """Which head this is, and who shares it."""
    part: bool = False
    """Whether it is only a range of the tensor's columns."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.length, self.columns.length

    @property
    def where(self) -> str:
        """`[0, 5, :, :]`, as one would write it in Python."""
        if self.rank < 2:
            return "[:]" if self.rank else "[]"
        columns = f"{self.column0}:{self.column0 + self.columns.length}" if self.part else ":"
        return "[" + ", ".join([*map(str, self.leading), ":", columns]) + "]"

    def read(self, value: Value, rows: slice, columns: slice) -> Array:
        """A part of the matrix, [rows, columns] as an array of its own; of complex numbers the magnitudes."""
        return magnitudes(self.cells(value, rows, columns))

    def cells(self, value: Value, rows: slice, columns: slice) -> Array:
        """The same as it is."""
        shifted = slice(columns.start + self.column0, columns.stop + self.column0)
        index: Index = (*self.leading, rows, shifted) if self.rank >= 2 else (columns,) * self.rank
        return np.atleast_2d(value.read(index))


def plane_of(record: Record, config: Mapping[str, object], head: int, batch: int) -> Plane:
    """The matrix of a record that a query head and a prompt of the batch choose."""
    axes = axes_of(record, config)
    if len(axes) < 2:
        return Plane(Axis("", 1), axes[0] if axes else Axis("", 1), rank=len(axes))
    if parts := split_heads(record, config):
        row = min(batch, parts[0].length - 1)
        chosen = _chosen(parts[2], head, config)
        note = _head_note(parts[2], chosen, config)
        return Plane(parts[1], parts[3], (row,), chosen * parts[3].length, 3, note, part=True)
    leading = tuple(_leading(axis, place, len(axes) - 2, head, batch, config) for place, axis in enumerate(axes[:-2]))
    notes = [
        _head_note(axis, at, config) for axis, at in zip(axes[:-2], leading, strict=True) if axis.name in ("H", "G")
    ]
    return Plane(axes[-2], axes[-1], leading, 0, len(axes), "".join(notes))


def _leading(axis: Axis, place: int, count: int, head: int, batch: int, config: Mapping[str, object]) -> int:
    if axis.name in ("H", "G") or (place == count - 1 and place > 0):
        return _chosen(axis, head, config)
    return min(batch, axis.length - 1) if place == 0 else 0


def _chosen(axis: Axis, head: int, config: Mapping[str, object]) -> int:
    """The index on a head axis: a query head's own, or that of the key-value head it shares."""
    heads = query_heads(config)
    if axis.name == "G" and heads and axis.shard is None:
        return min(head, heads - 1) * axis.length // heads
    return min(head, axis.length - 1)


@dataclass(frozen=True, slots=True)
class PlaneCell:
    """Where an element of a tensor is on view."""

    batch: int
    head: int
    """A query head, in whose plane it lies."""
    row: int
    column: int


def place_of(
    record: Record, config: Mapping[str, object], element: tuple[int, ...], head: int, batch: int
) -> PlaneCell:
    """Which prompt, head and cell show an element; head and prompt stay where the tensor has none of them."""
    axes = axes_of(record, config)
    if len(axes) < 2:
        return PlaneCell(batch, head, 0, element[0] if element else 0)
    if parts := split_heads(record, config):
        return PlaneCell(
            element[0],
            _query_head(parts[2], element[2] // parts[3].length, config),
            element[1],
            element[2] % parts[3].length,
        )
    for place, axis in enumerate(axes[:-2]):
        if axis.name in ("H", "G") or (place == len(axes) - 3 and place > 0):
            head = _query_head(axis, element[place], config)
        elif place == 0:
            batch = element[0]
    return PlaneCell(batch, head, element[-2], element[-1])


def _query_head(axis: Axis, chosen: int, config: Mapping[str, object]) -> int:
    """The first query head for which `_chosen` gives this index."""
    heads = query_heads(config)
    return -(-chosen * heads // axis.length) if axis.name == "G" and heads else chosen


def _head_note(axis: Axis, chosen: int, config: Mapping[str, object]) -> str:
    if axis.shard is not None:
        which = "kv head" if axis.name == "G" else "head"
        return f"{which} {axis.whole_index(chosen)}, {chosen} of 0–{axis.length - 1} here"
    if axis.length == 1 and axis.name == "H":
        return "the same for all heads"
    heads = query_heads(config)
    if axis.name == "G" and heads > axis.length:
        shared = heads // axis.length
        return f"kv head {chosen} of 0–{axis.length - 1} (heads {chosen * shared}–{(chosen + 1) * shared - 1})"
    return f"{'kv head' if axis.name == 'G' else 'head'} {chosen} of 0–{axis.length - 1}"


def query_heads(config: Mapping[str, object]) -> int:
    found = config.get("num_attention_heads")
    return found if isinstance(found, int) else 0
