"""What the tensor pane tells of a record, computed in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tracetui.analysis.distribution.distribution import Distribution, distribution
from tracetui.analysis.health.diagnosis import NearLimit, near_limit
from tracetui.recording.record import BEFORE_EDIT, Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError

_BINS = 128


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """What was computed of one record, away from the screen's thread."""

    trace: Trace
    record: Record
    statistics: Statistics
    distribution: Distribution | None
    """None where the values were not kept."""
    before: Statistics | None = None
    """Of what stood there before an edit."""
    near: NearLimit | None = None
    """How near it comes to overflow, if it does."""


def read(trace: Trace, record: Record, is_cancelled: Callable[[], bool] = lambda: False) -> Reading:
    """Statistics and distribution over the whole tensor; of one that is cancelled they say nothing."""
    value = trace.value(record)
    try:
        elements = distribution(value, _BINS, is_cancelled)
    except NotKeptError:
        elements = None
    original = trace.find(replace(record, site=f"{record.site}:{BEFORE_EDIT}").key) if record.edited else None
    before = None if original is None else trace.statistics(original)
    return Reading(trace, record, value.statistics(), elements, before, near_limit(trace, record))
