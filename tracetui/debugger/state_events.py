"""How an event of the session changes what the screen shows."""

from __future__ import annotations

from dataclasses import replace

from tracetui.analysis.memory import MemoryPlan
from tracetui.debugger.fault import NO_FAULT
from tracetui.debugger.session import (
    Advanced,
    Event,
    Extended,
    Failed,
    Finished,
    Fired,
    Module,
    Opened,
    Prepared,
    Preparing,
    Preview,
    Progress,
    Started,
    Stopped,
    Tallied,
    Viewed,
)
from tracetui.debugger.state import NO_MARKS, NO_PROGRESS, Phase, ScreenState
from tracetui.recording.trace import EMPTY_TRACE, Trace


def after(state: ScreenState, event: Event) -> ScreenState:
    """The state once an event of the session has arrived."""
    if of_an_earlier_run(state, event):
        return _overtaken(state, event)
    match event:
        case Preparing(what):
            return replace(state, phase=Phase.PREPARING, what=what)
        case Prepared(outline, tokenizer, notes, plan, preview):
            phase = Phase.READY if state.phase is Phase.PREPARING else state.phase
            known = replace(state, outline=outline, tokenizer=tokenizer, notes=notes, plan=plan, preview=preview)
            return replace(known, phase=phase, what="")
        case Started() | Opened() | Extended():
            return _begun(state, event)
        case Progress() | Preview() | Viewed():
            return _told(state, event)
        case Advanced(frontier):
            return replace(state, frontier=frontier, progress=NO_PROGRESS)
        case Stopped(frontier):
            return _arrived(state, Phase.STOPPED, frontier)
        case Finished(trace, cancelled):
            phase = Phase.CANCELLED if cancelled else Phase.FINISHED
            kept = trace if trace is not EMPTY_TRACE else state.trace
            return _arrived(replace(state, trace=kept), phase, len(kept))
        case Failed():
            return _failed(state, event)
    return state


def _overtaken(state: ScreenState, event: Event) -> ScreenState:
    """What a run leaves that another was asked for in place of: its trace is on view, should that one never begin."""
    match event:
        case Started(trace, plan, cut):
            return replace(_started(state, trace, plan, cut.taken), phase=state.phase)
        case Extended(trace):
            return replace(state, trace=trace)
        case Advanced(frontier) | Stopped(frontier):
            return _arrived(state, state.phase, frontier)
        case Finished(trace) | Failed(trace=trace) if trace is not EMPTY_TRACE:
            return _arrived(replace(state, trace=trace), state.phase, len(trace))
    return state


def stopped_after(state: ScreenState, event: Event) -> ScreenState:
    """The state with what an event says of the stops."""
    match event:
        case Started(cut=cut):
            return replace(state, stops=state.stops.fresh(cut.taken))
        case Opened(trace) | Viewed(trace):
            return replace(state, stops=state.stops.fresh(len(trace)))
        case Fired(hits):
            return replace(state, stops=state.stops.heard(hits))
    return state


def _failed(state: ScreenState, event: Failed) -> ScreenState:
    """What is recorded stays; the cursor that went along is at what the failing module was given."""
    trace = event.trace if event.trace is not EMPTY_TRACE else state.trace
    failed = replace(state, error=event.error, log=event.log, fault=event.fault, trace=trace)
    arrived = _arrived(failed, Phase.FAILED, len(trace) if state.under_way else state.frontier)
    return replace(arrived, cursor=event.fault.at) if state.following and event.fault.at >= 0 else arrived


def _begun(state: ScreenState, event: Started | Opened | Extended) -> ScreenState:
    if isinstance(event, Extended):
        return _extended(state, event.trace)
    if isinstance(event, Started):
        return _started(state, event.trace, event.plan, event.cut.taken)
    return _opened(state, event.trace, event.outline)


def _extended(state: ScreenState, trace: Trace) -> ScreenState:
    """The model chose a token. One whose run had ended goes on, and the cursor goes with it."""
    known = replace(state, trace=trace, progress=NO_PROGRESS)
    return (
        known
        if state.under_way
        else replace(known, phase=Phase.RUNNING, following=True, error="", log="", fault=NO_FAULT)
    )


def _opened(state: ScreenState, trace: Trace, outline: Module) -> ScreenState:
    """A recording: looked at as a whole, and from its end, where every pane has something to show.

    Somebody's own tensors have no whole: those are looked at from the first one on.
    """
    whole = bool(len(trace)) and not trace.dump
    return replace(
        state,
        phase=Phase.RECORDED,
        what="",
        outline=outline,
        tokenizer=trace.run.tokenizer,
        notes=tuple(trace.run.notes),
        trace=trace,
        frontier=len(trace),
        cursor=len(trace) - 1 if whole or not len(trace) else 0,
        overview=whole,
        following=False,
    )


def _viewed(state: ScreenState, trace: Trace, outline: Module) -> ScreenState:
    """The cursor stays at its record where the other view has it."""
    here = trace.find(state.record.key) if state.cursor >= 0 else None
    cursor = len(trace) - 1 if here is None else here.index
    known = replace(
        state, trace=trace, outline=outline, notes=tuple(trace.run.notes), frontier=len(trace), health=NO_MARKS
    )
    return replace(known, cursor=cursor, following=False, overview=state.overview and here is None)


def _told(state: ScreenState, event: Progress | Preview | Viewed) -> ScreenState:
    if isinstance(event, Viewed):
        return _viewed(state, event.trace, event.outline)
    if isinstance(event, Preview):
        return replace(state, preview=event)
    return replace(state, progress=event)


def of_an_earlier_run(state: ScreenState, event: Event) -> bool:
    """Whether an event that comes before Started of the run asked for can only be about a run before."""
    if state.phase is not Phase.STARTING:
        return False
    if isinstance(event, Started | Finished | Failed) and event.number:
        return event.number != state.number
    if isinstance(event, Finished):
        return event.trace is not EMPTY_TRACE
    return isinstance(event, Progress | Advanced | Stopped | Extended | Fired | Tallied)


def _started(state: ScreenState, trace: Trace, plan: MemoryPlan, taken: int) -> ScreenState:
    """A fresh run: the head and the batch row looked at stay, the position does not.

    Its first `taken` records are there, of another run.
    """
    return replace(
        state,
        phase=Phase.RUNNING,
        trace=trace,
        plan=plan,
        frontier=taken,
        cursor=taken - 1,
        following=True,
        progress=NO_PROGRESS,
        error="",
        log="",
        fault=NO_FAULT,
        token=-1,
        health=NO_MARKS,
        batch=min(state.batch, max(0, len(trace.tokens) - 1)),
    )


def _arrived(state: ScreenState, phase: Phase, frontier: int) -> ScreenState:
    cursor = frontier - 1 if state.following else min(state.cursor, frontier - 1)
    return replace(state, phase=phase, frontier=frontier, cursor=cursor, progress=NO_PROGRESS)
