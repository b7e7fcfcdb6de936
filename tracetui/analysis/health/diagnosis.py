"""Where values stopped being numbers: who made them, who only passed them on, and how it came about."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from tracetui.analysis.health.feeds import RecordFeeds
from tracetui.recording.health import LARGEST, comes_near_limit, is_sound, may_hide, near_limit_share
from tracetui.recording.record import INPUT, BadWeight, Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tracetui.analysis.health.nan_causes import Cause

FRAMES = 12
_MOST_WALKED = 10_000


class HealthPart(Enum):
    """What a record that isn't sound has to do with it."""

    PRODUCES = "all that feeds it is finite"
    CARRIES = "something that feeds it is not finite either"
    UNTOLD = "nothing that feeds it was recorded"


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """One record, and what feeds it."""

    record: Record
    part: HealthPart
    fed_by: tuple[Record, ...]
    bad: tuple[Record, ...]
    """Those of them that aren't sound."""
    by_name: bool
    """Whether the inputs were found by their names; else they are everything that was computed just before."""
    cause: Cause | None = None
    """What in those inputs turned into NaN, where that is known."""


@dataclass(frozen=True, slots=True)
class GrowthFrame:
    """One of the last records before."""

    record: Record
    absmax: float
    l2: float
    """Both over finite elements, NaN where there are none."""
    growth: float | None
    """Its largest magnitude as a multiple of the largest of what feeds it; None where that isn't known, or is 0."""
    sound: bool


@dataclass(frozen=True, eq=False, slots=True)
class BadElements:
    """The elements of a tensor that are NaN or infinite."""

    count: int
    numel: int
    first: tuple[tuple[tuple[int, ...], float], ...]
    """Index and value of the first ones."""
    per_axis: tuple[npt.NDArray[np.int64], ...]
    """For each axis the places at which there are any."""


@dataclass(frozen=True, eq=False, slots=True)
class Diagnosis:
    """All that is known of one record that isn't sound."""

    verdict: HealthVerdict
    producers: tuple[HealthVerdict, ...]
    """The records that it goes back to, itself if it is one."""
    frames: tuple[GrowthFrame, ...]
    """Of the last records up to the first producer."""
    elements: BadElements | None
    """Of the first producer; None where its values were not kept."""


def diagnose(trace: Trace, record: Record) -> Diagnosis:
    """Who made the NaN or the infinity at a record, and how it came about."""
    found = verdict(trace, record)
    origins = producers(trace, record)
    origin = min((origin.record for origin in origins), key=lambda origin: origin.index, default=record)
    return Diagnosis(found, origins, frames(trace, origin), bad_elements(trace, origin))


def first_unsound(trace: Trace) -> Record | None:
    """The first record that has NaN, or infinities that hide nothing; None if there is none."""
    return next((record for record in trace.records if not is_sound(record, trace.value(record))), None)


def verdict(trace: Trace, record: Record, feeds: RecordFeeds | None = None) -> HealthVerdict:
    """Whether a record made what isn't finite in it, or got it; `feeds` are the trace's, where they are there already.

    A module or a kernel is innocent as long as anything isn't sound that its code had: names only tell what is nearest.
    """
    feeds = feeds or RecordFeeds(trace)
    fed_by, by_name = feeds.of(record)
    bad = [fed for fed in fed_by if not is_sound(fed, trace.value(fed))]
    if not (bad and record.role):
        bad += [fed for fed in feeds.possible(record) if fed not in fed_by and not is_sound(fed, trace.value(fed))]
    part = HealthPart.CARRIES if bad else HealthPart.PRODUCES if fed_by else HealthPart.UNTOLD
    return HealthVerdict(record, part, fed_by, tuple(bad), by_name)


def producers(trace: Trace, record: Record) -> tuple[HealthVerdict, ...]:
    """The records to which a bad one goes back, first ones first."""
    feeds = RecordFeeds(trace)
    found: dict[int, HealthVerdict] = {}
    seen, waiting = {record.index}, [record]
    while waiting and len(seen) < _MOST_WALKED:
        here = verdict(trace, waiting.pop(), feeds)
        if here.part is not HealthPart.CARRIES:
            found[here.record.index] = here
        fresh = [fed for fed in here.bad if fed.index not in seen]
        seen.update(fed.index for fed in fresh)
        waiting.extend(fresh)
    return tuple(_explained(trace, found[index]) for index in sorted(found))


def _explained(trace: Trace, producer: HealthVerdict) -> HealthVerdict:
    """The same with its cause, unless an edit or the module's own weights are one."""
    record = producer.record
    if producer.part is not HealthPart.PRODUCES or record.edited or bad_weights(trace, record):
        return producer
    from tracetui.analysis.health.nan_causes import cause_of

    return replace(producer, cause=cause_of(trace, record, producer.fed_by))


def bad_weights(trace: Trace, record: Record) -> tuple[BadWeight, ...]:
    """The parameters that the code which made a record reads itself and that hold NaN or infinities."""
    path = maker(trace, record)
    found = trace.bad_weights.get(path, ())
    if not record.role:
        return found
    # When they were looked at, modules that were called later had not run yet.
    run = {other.site for other in trace.records} - {path}
    return tuple(weight for weight in found if weight.name.rpartition(".")[0] not in run)


def maker(trace: Trace, record: Record) -> str:
    """The path of the module whose code made a record; for a module's input, the module that called it."""
    if record.role != INPUT:
        return record.module
    run = trace.bad_weights.keys() | {other.parent for other in trace.records if other.parent != record.module}
    path = record.module.rpartition(".")[0]
    while path and path not in run:
        path = path.rpartition(".")[0]
    return path


def frames(trace: Trace, record: Record, count: int = FRAMES) -> tuple[GrowthFrame, ...]:
    """The last records up to this one, with how much larger each is than what feeds it."""
    last = trace.records[max(0, record.index + 1 - count) : record.index + 1]
    feeds = RecordFeeds(trace)
    return tuple(_frame(trace, one, feeds) for one in last)


def _frame(trace: Trace, record: Record, feeds: RecordFeeds) -> GrowthFrame:
    statistics, sound = trace.statistics(record), is_sound(record, trace.value(record))
    if not statistics.finite_count:
        return GrowthFrame(record, math.nan, math.nan, None, sound)
    fed_by = [fed for fed in feeds.of(record)[0] if not fed.site.endswith("rotary_emb")]
    sizes = (trace.statistics(fed).absmax for fed in fed_by)
    before = max((size for size in sizes if not math.isnan(size)), default=0.0)
    growth = statistics.absmax / before if before else None
    return GrowthFrame(record, statistics.absmax, statistics.l2, growth, sound)


def bad_elements(trace: Trace, record: Record, most: int = 5) -> BadElements | None:
    """Which elements of a record are NaN or infinite; None where its values were not kept."""
    import numpy as np

    try:
        values = trace.value(record).read()
    except NotKeptError:
        return None
    bad = ~np.isfinite(values)
    if may_hide(record):
        bad &= ~np.isneginf(values)
    places = np.argwhere(bad)
    first = tuple((tuple(map(int, place)), float(np.real(values[tuple(place)]))) for place in places[:most])
    return BadElements(len(places), values.size, first, tuple(np.unique(axis) for axis in places.T))


@dataclass(frozen=True, slots=True)
class NearLimit:
    """A record with elements within a factor of two of its dtype's largest number."""

    record: Record
    absmax: float
    share: float | None
    """Of its elements; None where the values were not kept."""

    @property
    def limit(self) -> float:
        return LARGEST[self.record.dtype]


def near_limit(trace: Trace, record: Record) -> NearLimit | None:
    """How near a record of a narrow dtype is to overflow; None if it isn't."""
    if not comes_near_limit(record, statistics := trace.statistics(record)):
        return None
    try:
        share = near_limit_share(record, trace.value(record))
    except NotKeptError:
        share = None
    return NearLimit(record, statistics.absmax, share)


def records_near_limit(trace: Trace) -> list[Record]:
    """All records that come near their dtype's largest number, as their statistics tell, the nearest ones first."""
    near = [record for record in trace.records if comes_near_limit(record, trace.statistics(record))]
    return sorted(near, key=lambda record: (-trace.statistics(record).absmax / LARGEST[record.dtype], record.index))


def near_limits(trace: Trace, most: int | None = None) -> list[NearLimit]:
    """What can be told of them, or of the `most` that come nearest."""
    return [near for record in records_near_limit(trace)[:most] if (near := near_limit(trace, record)) is not None]
