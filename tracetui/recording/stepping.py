"""Where a step leads: one rule for records that exist and for those that the model has yet to make.

Records stand in order of completion, children before their parent, so the same question ("does this
record end the step?") is asked of recorded ones behind the frontier and of new ones at it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from tracetui.recording.record import Record, is_layer, layer_of

Target = Callable[[Record], bool]


class Step(Enum):
    """The ways forward."""

    INTO = "into"
    OVER = "over"
    OUT = "out"
    LAYER = "layer"
    LATER = "later"
    END = "end"


def target(step: Step, origin: Record | None) -> Target:
    """The test that a record after `origin` has to pass to end the step; from nowhere, the first one does."""
    if step is Step.END:
        return lambda record: False
    if origin is None or step is Step.INTO:
        return lambda record: True
    if step is Step.OVER:
        return lambda record: record.depth <= origin.depth
    if step is Step.OUT:
        return lambda record: encloses(record, origin)
    return _next_pass(origin) if step is Step.LATER else _next_layer(origin)


def _next_layer(origin: Record) -> Target:
    """The same place in a later layer; from outside of all layers the first layer's output.

    Where no later layer has that place (a dense layer before expert layers, the last layer), the step
    ends at the first record outside of all layers, so that it never runs past what it looked for.
    """
    if origin.layer is None:
        return lambda record: is_layer(record.site)
    here, place = origin.layer, (origin.site_in_layer, origin.part)

    def reached(record: Record) -> bool:
        return _outside(record) or (record.layer not in (None, here) and (record.site_in_layer, record.part) == place)

    return reached


def _next_pass(origin: Record) -> Target:
    """The same place in a later pass; where that pass lacks it (an expert that isn't hit), its end."""
    return lambda record: record.pass_ > origin.pass_ and (record.depth == 0 or _same_place(record, origin))


def _same_place(one: Record, other: Record) -> bool:
    return (one.site, one.part, one.call) == (other.site, other.part, other.call)


def _outside(record: Record) -> bool:
    """Outside of all layers; a module that they share runs inside whatever its path says."""
    return record.layer is None and layer_of(record.parent) is None


def encloses(outer: Record, inner: Record) -> bool:
    """Whether `outer` is the output of the module around `inner`, or of one around that."""
    if outer.depth >= inner.depth or outer.role:
        return False
    return outer.depth == 0 or f"{inner.parent}.".startswith(f"{outer.site}.")


def ahead(records: Sequence[Record], cursor: int, step: Step, count: int | None = None) -> int | None:
    """The index where a step from `cursor` (-1: before the first) ends, or None if that is not recorded yet.

    With a `count` only so many records are looked at: a list that grows need not be copied.
    """
    if step is Step.END:
        return None
    reached = target(step, records[cursor] if cursor >= 0 else None)
    end = len(records) if count is None else count
    return next((index for index in range(cursor + 1, end) if reached(records[index])), None)


def back(records: Sequence[Record], cursor: int) -> int:
    """The mirror of over: the nearest earlier record at the same depth or shallower, else the one before."""
    if cursor <= 0:
        return cursor
    depth = records[cursor].depth
    return next((index for index in range(cursor - 1, -1, -1) if records[index].depth <= depth), cursor - 1)


def pass_back(records: Sequence[Record], cursor: int) -> int | None:
    """The mirror of a step by pass: the same place in an earlier pass; None if no earlier pass has it."""
    if cursor < 0 or not records[cursor].pass_:
        return None
    origin = records[cursor]
    earlier = (i for i in range(cursor - 1, -1, -1) if records[i].pass_ < origin.pass_)
    return next((i for i in earlier if _same_place(records[i], origin)), None)


def layer_back(records: Sequence[Record], cursor: int) -> int:
    """The mirror of a step by layer: the same place in an earlier layer, else the last record before the layers."""
    if cursor <= 0:
        return cursor
    origin = records[cursor]
    if origin.layer is None:
        return next((i for i in range(cursor - 1, -1, -1) if records[i].layer is not None), 0)
    reached = _next_layer(origin)
    return next((i for i in range(cursor - 1, -1, -1) if reached(records[i])), 0)
