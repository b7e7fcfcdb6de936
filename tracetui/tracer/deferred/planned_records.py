"""Records as they are the same in each pass of the same steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from tracetui.recording.parallel import WHOLE
from tracetui.recording.record import AttentionCall
from tracetui.tracer.capture.snapshots import NONE
from tracetui.tracer.deferred import describing as steps
from tracetui.tracer.deferred.describing import Describing, Log


class PlannedRecord(NamedTuple):
    """A record without its values."""

    number: int
    """Of its value."""
    shape: tuple[int, ...] | None
    """None of what grows with the tokens."""
    began: int
    ended: int
    """The steps between which its module ran; both NONE where no time is told."""
    inputs: tuple[int, ...]
    """By their places in the pass; UNRECORDED or CALLERS as they are."""
    attention: AttentionCall | None
    """How the kernel is called that received it as a query."""
    site: str
    dtype: str
    depth: int
    parent: str
    call: int
    part: int
    provenance: str


class NotPlannedError(Exception):
    """Something of a pass need not be the same in another one."""


def planned_records(
    log: Log, describing: Describing, base: int, counts: Sequence[int], grown: Collection[int]
) -> Iterator[PlannedRecord]:
    """The records of a pass, which begins with the record `base`.

    counts: how many there were after each step. grown: the numbers of values whose shapes are others in each pass.
    """
    recorder, snapshots = describing.recorder, describing.snapshots
    numbers = {id(value): number for number, value in enumerate(snapshots.values)}
    spans = _spans(log[:: steps.WIDTH])
    step = 0
    for record in recorder.trace.records[base:]:
        while counts[step] <= record.index:
            step += 1
        number = numbers.get(id(recorder.trace.values[record.index]), NONE)
        timed = record.seconds is not None
        if number == NONE or record.edited or record.place is not WHOLE or (timed and step not in spans):
            raise NotPlannedError
        if any(0 <= each < base for each in record.inputs):
            raise NotPlannedError
        inputs = tuple(each if each < 0 else each - base for each in record.inputs)
        began, ended = (spans[step], step) if timed else (NONE, NONE)
        attention, shape = recorder.trace.attention.get(record.key), None if number in grown else record.shape
        own = (record.site, record.dtype, record.depth, record.parent, record.call, record.part, record.provenance)
        yield PlannedRecord(number, shape, began, ended, inputs, attention, *own)


def _spans(kinds: Sequence[int]) -> dict[int, int]:
    """By the step at which a module ended, the one at which it began."""
    running, spans = [], {}
    for step, kind in enumerate(kinds):
        if kind in steps.BEGINNINGS:
            running.append(step)
        elif kind in steps.ENDS:
            spans[step] = running.pop()
    return spans
