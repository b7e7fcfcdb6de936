"""Who made the NaN, as plain lines: the verdict, the elements, and the records before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from tracetui.analysis.axes import Axis, axes_of, axis_positions
from tracetui.analysis.health.diagnosis import (
    BadElements,
    Diagnosis,
    GrowthFrame,
    HealthPart,
    HealthVerdict,
    NearLimit,
    bad_weights,
    frames,
    maker,
    near_limits,
    records_near_limit,
)
from tracetui.analysis.own_parameters import own_parameters
from tracetui.recording.record import UNRECORDED, BadWeight, Record
from tracetui.recording.trace import Trace
from tracetui.text import number, statistic, visible
from tracetui.views.cells import fit
from tracetui.views.config_lines import ConfigLine, LineKind
from tracetui.views.diff.format import listed
from tracetui.views.health.causes import cause_line
from tracetui.views.health.ranks import rank_lines
from tracetui.views.tokens import token_in

_LISTED = 8
_COLUMN = 11


def health_lines(trace: Trace, diagnosis: Diagnosis, width: int) -> Iterator[ConfigLine]:
    """What is wrong at a record, who made it, which elements, and how it grew."""
    verdict = diagnosis.verdict
    yield ConfigLine(_counted(trace, verdict.record), LineKind.TITLE)
    for text in _origin(trace, diagnosis):
        yield from (ConfigLine(piece, LineKind.ALERT) for piece in wrap(text, width, break_on_hyphens=False))
    yield ConfigLine("", LineKind.TEXT)
    if verdict.part is HealthPart.CARRIES and not verdict.by_name:
        yield ConfigLine(
            "What feeds it is known from the order of execution only: it may be another record before it.",
            LineKind.TEXT,
        )
        yield ConfigLine("", LineKind.TEXT)
    yield from _elements(trace, diagnosis)
    yield ConfigLine("The last records up to it", LineKind.HEADING)
    yield from (ConfigLine(text, LineKind.TEXT) for text in frame_lines(diagnosis.frames, width))


def sound_lines(trace: Trace, record: Record, near: Sequence[str], width: int) -> Iterator[ConfigLine]:
    """How the records up to one grew, all of whose values are finite; `near`: what is to be said of its limit."""
    yield ConfigLine(f"{visible(record.key, 200)}: every value is finite", LineKind.TITLE)
    yield from (ConfigLine(line, LineKind.ALERT) for line in (*near, *rank_lines(trace, record, None)))
    yield ConfigLine("", LineKind.TEXT)
    yield ConfigLine("The last records up to it", LineKind.HEADING)
    yield from (ConfigLine(text, LineKind.TEXT) for text in frame_lines(frames(trace, record), width))


def _counted(trace: Trace, record: Record) -> str:
    statistics = trace.statistics(record)
    kinds = ((statistics.nan, "NaN"), (statistics.posinf, "+Inf"), (statistics.neginf, "-Inf"))
    counts = ", ".join(f"{count:,} {name}" for count, name in kinds if count) or "all finite"
    return f"{visible(record.key, 200)}: {counts} of {statistics.numel:,}"


def _origin(trace: Trace, diagnosis: Diagnosis) -> Iterator[str]:
    here = diagnosis.verdict.record
    for verdict in diagnosis.producers[:_LISTED]:
        seen = "first seen" if _given_unknown(trace, verdict) else "made"
        who = f"It is {seen} here" if verdict.record is here else f"It comes from {visible(verdict.record.key, 200)}"
        yield f"{who} (step {verdict.record.index}): {_because(trace, verdict)}"
    if (more := len(diagnosis.producers) - _LISTED) > 0:
        yield f"and from {more} more"


def _because(trace: Trace, verdict: HealthVerdict) -> str:
    if verdict.part is HealthPart.UNTOLD:
        if weights := bad_weights(trace, verdict.record):
            return f"its own weights have it: {', '.join(map(bad_weight_line, weights))}"
        return "nothing that feeds it was recorded, so that it can't be told whether it made it"
    names = ", ".join(visible(fed.key, 200) for fed in verdict.fed_by[:3])
    more = f" and {len(verdict.fed_by) - 3} more" if len(verdict.fed_by) > 3 else ""
    if _given_unknown(trace, verdict):
        return (
            f"what it was given was not recorded; what was computed before is finite ({names}{more}): what was made "
            f"of that has it, or {_maker(trace, verdict)}"
        )
    how = "" if verdict.by_name else ", as far as the order of execution tells"
    return f"what feeds it is finite ({names}{more}){how}; {_maker(trace, verdict)}"


def _given_unknown(trace: Trace, verdict: HealthVerdict) -> bool:
    """Whether a module had an input that no record holds, and nothing else tells what made its output."""
    record = verdict.record
    if verdict.part is not HealthPart.PRODUCES or verdict.by_name or UNRECORDED not in record.inputs:
        return False
    return not (record.edited or verdict.cause is not None or bad_weights(trace, record))


def _maker(trace: Trace, verdict: HealthVerdict) -> str:
    """What is left to have made it."""
    record = verdict.record
    if record.edited:
        return "an edit was made here"
    if weights := bad_weights(trace, record):
        whose = f"weights that {_code(trace, record)} reads have it" if record.role else "its own weights have it"
        return f"{whose}: {', '.join(map(bad_weight_line, weights))}"
    if verdict.cause is not None:
        return cause_line(verdict.cause)
    if {"nan", "inf"} & set(record.provenance.split("+")):
        return "its own weights have NaN or infinities in them"
    if not record.role and record.site in trace.bad_weights:
        return "its own weights are finite, so that its arithmetic made it"
    if not record.role:
        return "its arithmetic made it, or weights that were not looked at"
    path = maker(trace, record)
    own = () if path in trace.bad_weights else own_parameters(trace, path)
    unread = f", or weights that were not looked at ({listed(own)})" if own else ""
    return f"the arithmetic of {_code(trace, record)} made it{unread}"


def _code(trace: Trace, record: Record) -> str:
    path = maker(trace, record)
    return f"{visible(path, 200)}'s own code" if path else "the model's own code"


def bad_weight_line(weight: BadWeight) -> str:
    """`model.layers.7.mlp.up_proj.weight[7, 11] and 3 more of its 131,072 elements`."""
    place = f"{visible(weight.name, 200)}[{', '.join(map(str, weight.first))}]"
    more = weight.count - 1
    return f"{place} and {more:,} more of its {weight.numel:,} elements" if more else place


def _elements(trace: Trace, diagnosis: Diagnosis) -> Iterator[ConfigLine]:
    origin = diagnosis.producers[0].record if diagnosis.producers else diagnosis.verdict.record
    yield ConfigLine(f"Its elements in {visible(origin.key, 200)}", LineKind.HEADING)
    if diagnosis.elements is None:
        yield ConfigLine("the values were not kept, only their statistics", LineKind.TEXT)
    else:
        yield from (ConfigLine(text, LineKind.TEXT) for text in _places(trace, origin, diagnosis.elements))
    yield from (ConfigLine(text, LineKind.ALERT) for text in rank_lines(trace, origin, diagnosis.elements))
    yield ConfigLine("", LineKind.TEXT)


def _places(trace: Trace, record: Record, bad: BadElements) -> Iterator[str]:
    axes = axes_of(record, trace.run.config)
    for axis, places in zip(axes, bad.per_axis, strict=True):
        if axis.length > 1:
            few = _few(trace, record, axis, places.tolist())
            yield f"along {axis.name}: {len(places):,} of {axis.length:,} places{few}"
    for index, value in bad.first:
        yield f"[{', '.join(map(str, index))}] = {value}"


def _few(trace: Trace, record: Record, axis: Axis, places: Sequence[int]) -> str:
    """The places, where they are few; tokens with their texts."""
    if len(places) > _LISTED:
        return ""
    positions = axis_positions(axis.name, axis.length, trace, record.pass_)
    if positions is None or len(trace.tokens) != 1:
        return f": {', '.join(map(str, places))}"
    return f": {', '.join(token_in(trace.tokens[0], positions[at]) for at in places)}"


def frame_lines(frames: Sequence[GrowthFrame], width: int) -> Iterator[str]:
    """A table: site, largest magnitude, L2, growth against what feeds it; `✗` where it isn't finite."""
    longest = max((len(visible(frame.record.key, 200)) for frame in frames), default=0)
    room = max(12, min(width - 3 * _COLUMN - 9, longest + 2))
    yield f"{'step':>6}  {fit('site', room)}{'abs max':>{_COLUMN}}{'L2':>{_COLUMN}}{'growth':>{_COLUMN}}"
    for frame in frames:
        growth = "–" if frame.growth is None else f"×{number(frame.growth)}"
        mark = " " if frame.sound else "✗"
        yield (
            f"{frame.record.index:>6} {mark}{fit(_end(frame.record.key, room - 1), room)}"
            f"{statistic(frame.absmax):>{_COLUMN}}{statistic(frame.l2):>{_COLUMN}}{growth:>{_COLUMN}}"
        )


def _end(key: str, room: int) -> str:
    """The end of a long site: it tells more than its beginning."""
    text = visible(key, 200)
    return text if len(text) <= room else f"…{text[-room + 1 :]}"


def near_limit_lines(trace: Trace) -> Iterator[str]:
    """Which records come near their dtype's largest number, the nearest ones first."""
    yield from map(near_limit_line, near_limits(trace, _LISTED))
    if (more := len(records_near_limit(trace)) - _LISTED) > 0:
        yield f"and {more} records more"


def near_limit_line(near: NearLimit) -> str:
    """How much of a record is how near."""
    return (
        f"{visible(near.record.key, 200)}: {near_limit_share(near)} within 2× of the largest {near.record.dtype} "
        f"({number(near.limit)}); the largest is {number(near.absmax)}"
    )


def near_limit_share(near: NearLimit) -> str:
    """`0.391% of its values are`; that there are some where the values were not kept."""
    if near.share is None:
        return "some of its values are"
    percentage = f"{near.share:.3%}" if near.share >= 1e-5 else f"{near.share:.1e}"
    return f"{percentage} of its values are"
