"""What stands out in a run, in a few words: the first NaN, the first infinity, a module that failed."""

from __future__ import annotations

from tracetui.debugger.fault import NO_FAULT
from tracetui.debugger.session import Event, Failed, Fired, Started
from tracetui.expr.watcher import Hit
from tracetui.recording.health import may_hide
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError


def finding_of(trace: Trace) -> str:
    """`NaN in layer 7`: where values that aren't finite begin in a recording; empty where all are.

    Statistics must be known, as a trace file's header has them: this reads no values. O(records).
    """
    if trace.dump:
        return ""
    for record, value in zip(trace.records, trace.values, strict=True):
        try:
            statistics = value.statistics()
        except NotKeptError:
            continue
        if statistics.nan:
            return f"NaN in {place_of(record)}"
        if statistics.posinf or (statistics.neginf and not may_hide(record) and statistics.absmax):
            return f"Inf in {place_of(record)}"
    return ""


def finding_after(finding: str, event: Event, trace: Trace) -> str:
    """What stands out in a session's last run once an event has come; `trace` is the run's."""
    if isinstance(event, Started):
        return ""
    if isinstance(event, Failed) and event.fault is not NO_FAULT:
        return f"failed in {event.fault.path or 'the model'}"
    if isinstance(event, Fired) and not finding:
        return next((text for hit in event.hits if (text := finding_of_hit(hit, trace))), "")
    return finding


def finding_of_hit(hit: Hit, trace: Trace) -> str:
    """The same, of a stop that held in a run; empty of a stop that looks for something else."""
    kind = {"nan": "NaN", "inf": "Inf"}.get(hit.stop.text)
    return f"{kind} in {place_of(trace.records[hit.index])}" if kind else ""


def place_of(record: Record) -> str:
    """`layer 7`, else the site outside of all layers."""
    return record.key if record.layer is None else f"layer {record.layer}"
