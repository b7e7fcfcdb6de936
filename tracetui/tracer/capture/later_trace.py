"""A trace of which nothing is described until somebody looks into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tracetui.recording.later import LaterMapping, LaterSequence, Once
from tracetui.recording.trace import Trace


def later_trace(trace: Trace, describe: Callable[[], None]) -> Trace:
    """The trace of a run that is over. `describe` fills its lists, once, on the thread that looks first."""
    fill = Once(describe)
    return replace(
        trace,
        run=replace(trace.run, recipe=dict(trace.run.recipe)),
        records=LaterSequence(trace.records, fill),
        values=LaterSequence(trace.values, fill),
        attention=LaterMapping(trace.attention, fill),
        vocabulary=LaterMapping(trace.vocabulary, fill),
        bad_weights=LaterMapping(trace.bad_weights, fill),
    )
