"""A trace of which nothing is described until somebody looks into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tracetui.recording.later import LaterMapping, LaterSequence, Once
from tracetui.recording.trace import Trace
from tracetui.recording.value import Value


def later_trace(
    trace: Trace, describe: Callable[[], object], notes: Sequence[str], ahead: Callable[[], Sequence[Value]]
) -> Trace:
    """The trace of a run that is over. `describe` fills its lists, once, on the thread that looks first.

    notes: filled by it too. ahead: the values that are there already.
    """
    fill = Once(describe)
    return replace(
        trace,
        complete=True,
        run=replace(trace.run, recipe=dict(trace.run.recipe), notes=LaterSequence(notes, fill)),
        records=LaterSequence(trace.records, fill),
        values=LaterSequence(trace.values, fill, ahead),
        attention=LaterMapping(trace.attention, fill),
        vocabulary=LaterMapping(trace.vocabulary, fill),
        bad_weights=LaterMapping(trace.bad_weights, fill),
    )
