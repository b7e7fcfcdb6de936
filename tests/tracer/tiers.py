"""One call recorded twice: described at once at each step, and described later; both must be the same trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from torch import nn

from tracetui.debugger.session import Event, Fired, Tallied
from tracetui.expr.stop import DEFAULT_STOPS, Stop
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_module
from tracetui.tracer.hooks.recording_observer import RecordingObserver

Told = list[object]
"""Hits and tallies, in the order in which they were told."""
Recording = tuple[Trace, Told]


def recorded(model: nn.Module, kwargs: dict[str, Any], later: bool, stops: Sequence[Stop] = DEFAULT_STOPS) -> Recording:
    """What a call of a model leaves. later: whether its records may be described later."""
    told: Told = []

    def hear(event: Event) -> None:
        if isinstance(event, Fired):
            told.extend((hit.stop.text, hit.index, hit.told) for hit in event.hits)
        elif isinstance(event, Tallied):
            told.append(event)

    kept = RecordingObserver.may_defer
    with patch.object(RecordingObserver, "may_defer", lambda *about: later and kept(*about)):
        trace = record_module(model, (), kwargs, stops=stops, emit=hear)
    # Whoever looks first is told.
    assert len(trace) >= 0
    return trace, told


def differences(at_once: Recording, later: Recording) -> Iterator[str]:
    """In what two recordings of the same call differ but for the time that it took."""
    (one, told), (other, told_later) = at_once, later
    if told != told_later:
        yield f"told {told} and {told_later}"
    keys, others = ([record.key for record in trace.records] for trace in (one, other))
    if keys != others:
        yield f"only at once: {[key for key in keys if key not in others]}"
        yield f"only later: {[key for key in others if key not in keys]}"
        return
    yield from _of_records(one, other)
    if any(other.values[place] is not other.values[first] for place, first in enumerate(_shared(one))):
        yield "what was one and the same tensor is two"
    for name in ("attention", "vocabulary", "bad_weights", "complete", "tokens"):
        if getattr(one, name) != getattr(other, name):
            yield f"{name}: {getattr(one, name)} and {getattr(other, name)}"
    if one.run.notes != other.run.notes:
        yield f"notes: {one.run.notes} and {other.run.notes}"


def _of_records(one: Trace, other: Trace) -> Iterator[str]:
    for record, same in zip(one.records, other.records, strict=True):
        value, again = one.value(record), other.value(same)
        if record != replace(same, seconds=record.seconds) or (record.seconds is None) != (same.seconds is None):
            yield f"{record.key}: {record} and {same}"
        # Bit by bit: NaN is like NaN.
        if value.read().tobytes() != again.read().tobytes() or repr(value.statistics()) != repr(again.statistics()):
            yield f"{record.key}: other values"


def _shared(trace: Trace) -> list[int]:
    """For each record, the first one with the very same value."""
    first: dict[int, int] = {}
    return [first.setdefault(id(value), index) for index, value in enumerate(trace.values)]
