"""The residual stream's norm, from the embedding through every layer."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.trace.record import Record, is_layer
from tracetui.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class ResidualPoint:
    """The residual stream at one place."""

    label: str
    """`embed`, `0 attn` (after the attention of layer 0), `0` (after the layer)."""
    index: int
    """Of the record."""
    l2: float
    """Root of the sum of squares over all tokens."""


def residual_norms(trace: Trace) -> tuple[ResidualPoint, ...]:
    """The recorded places of the residual stream in order: what enters the first layer, then two for each layer."""
    points: list[ResidualPoint] = []
    for record in trace.records:
        if record.pass_ == 0 and record.part == 0 and (label := _label(record, first=not points)):
            points.append(ResidualPoint(label, record.index, trace.statistics(record).l2))
    return tuple(points)


def _label(record: Record, first: bool) -> str:
    if record.role == "input" and first:
        return "embed"
    if record.role == "attn_residual":
        return f"{record.layer} attn"
    return str(record.layer) if is_layer(record.site) else ""
