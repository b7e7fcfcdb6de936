"""The residual stream's norm, from the embedding through every layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tracetui.recording.record import Record, is_layer
from tracetui.recording.trace import Trace
from tracetui.recording.value import is_kept


@dataclass(frozen=True, slots=True)
class ResidualPoint:
    """The residual stream at one place."""

    label: str
    """`embed`, `0 attn` (after the attention of layer 0), `0` (after the layer)."""
    index: int
    """Of the record."""
    l2: float
    """Root of the sum of squares over all tokens, or over those of one row; NaN where an element is NaN or infinite.

    Where a layer has several streams, of them all; of a mixture that it reads as if each were like that one.
    """


def residual_norms(
    trace: Trace, row: int = 0, known: Sequence[ResidualPoint] = (), pass_: int = 0
) -> tuple[ResidualPoint, ...]:
    """The recorded places of a pass' residual stream in order: the first layer's input, then two for each layer.

    In a batch the norms are those of one row's real tokens, for records whose values were kept. The search goes on
    after the points in `known`.
    """
    return residual_points(trace, partial(_norm, trace, row=row), known, pass_)


def residual_points(
    trace: Trace, size_of: Callable[[Record], float | None], known: Sequence[ResidualPoint] = (), pass_: int = 0
) -> tuple[ResidualPoint, ...]:
    """The same with a size of one's own of each place; a place without one is left out."""
    points = list(known)
    for record in trace.records[points[-1].index + 1 if points else 0 :]:
        if record.pass_ == pass_ and record.part == 0 and (label := _label(record, first=not points)):
            size = size_of(record)
            first = trace.records[points[0].index] if points else record
            points += [] if size is None else [ResidualPoint(label, record.index, size * _mixed(first, record) ** 0.5)]
    return tuple(points)


def _norm(trace: Trace, record: Record, *, row: int) -> float | None:
    """The norm of a record [B,T,D]; NaN where not all of it is finite, None if it can't be told."""
    rows = len(trace.tokens)
    behind = len(record.shape) == 4 and record.shape[0] != rows
    if rows < 2 or not 3 <= len(record.shape) <= 4 or record.shape[int(behind)] != rows:
        statistics = trace.statistics(record)
        return statistics.l2 if statistics.finite else math.nan
    if not is_kept(trace.value(record)):
        return None
    place = (row, slice(0, trace.prompt_lengths[row] if not record.pass_ else 1))
    values = trace.value(record).read((slice(None), *place) if behind else place).astype(np.float64)  # [n,t,D] or [t,D]
    norm = float(np.sqrt(np.square(values).sum()))
    return norm if math.isfinite(norm) else math.nan


def _mixed(first: Record, record: Record) -> int:
    """How many streams entered the first layer for each that a record holds."""
    several = len(first.shape) == 4 and record.numel > 0 and first.numel % record.numel == 0
    return first.numel // record.numel if several else 1


def broken_from(points: Sequence[ResidualPoint]) -> ResidualPoint | None:
    """The first point that has NaN or infinities; None where all are finite."""
    return next((point for point in points if math.isnan(point.l2)), None)


def _label(record: Record, first: bool) -> str:
    if record.role == "input" and first and is_layer(record.module):
        return "embed"
    if record.role == "attn_residual":
        return f"{record.layer} attn"
    return str(record.layer) if is_layer(record.site) else ""
