"""For every record that isn't finite: whether it made that, passes it on, or it can't be told."""

from __future__ import annotations

from collections.abc import Mapping

from tracetui.analysis.health.diagnosis import HealthPart, verdict
from tracetui.analysis.health.feeds import RecordFeeds
from tracetui.recording.health import is_sound
from tracetui.recording.trace import Trace

_JUDGED = 500
"""Records: finding what feeds one goes through all before it."""

Marks = Mapping[int, HealthPart]
"""By a record's index."""


def health_marks(trace: Trace, frontier: int) -> Marks:
    """What the first `frontier` records have to do with NaN and infinities; sound ones are left out.

    Those beyond the first hundreds are only known not to be finite: Part.UNTOLD.
    """
    bad = [record for record in trace.records[:frontier] if not is_sound(record, trace.value(record))]
    feeds = RecordFeeds(trace)
    judged = {record.index: verdict(trace, record, feeds).part for record in bad[:_JUDGED]}
    return {**judged, **{record.index: HealthPart.UNTOLD for record in bad[_JUDGED:]}}


def marks_by_module(trace: Trace, marks: Marks) -> dict[str, HealthPart]:
    """The marks by module path: of its own output, of what it computes inside, or of a later call, whichever is worst.

    A module that makes a NaN outranks one that passes it on.
    """
    parts: dict[str, HealthPart] = {}
    for index, part in marks.items():
        path = trace.records[index].module
        if part is HealthPart.PRODUCES or path not in parts:
            parts[path] = part
    return parts
