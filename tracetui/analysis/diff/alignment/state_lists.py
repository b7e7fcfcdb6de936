"""Which sites of the other side a list of hidden states holds: as names and lengths tell, and what its values are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tracetui.analysis.diff.alignment.calls import statistics_apart
from tracetui.analysis.mapping.states import NamedState, Stream, places, states_in, streams_of
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace

_ALIKE = 0.02
"""Up to what share of its norm a state's statistics may be off in a right port."""


def listed_states(records: Sequence[Record], own: Trace, other: Trace) -> list[tuple[NamedState, str]]:
    """Each state of a list among `records`, and the key of the other side's record that it is."""
    states = states_in(records)
    streams = streams_of(other.records) if states else []
    if not states or not streams:
        return []
    ways = [(way, stream) for stream in streams for way in places(states, stream)]
    counts = [_agreeing(states, way, own, other) for way, _ in ways]
    best = max(range(len(ways)), key=lambda at: (counts[at], -at))
    if len(streams) > 1 and not counts[best]:
        # Which of several stacks was kept can't be told.
        return []
    (*first, last), stream = ways[best]
    return list(zip(states, [*first, _last_state(states[-1], last, own, other, stream)], strict=True))


def _agreeing(states: Sequence[NamedState], way: Sequence[str], own: Trace, other: Trace) -> int:
    """How many of the states agree, by their statistics, with the records that this reading pairs them with."""
    if any(state.layout is not None for state in states):
        return 0
    pairs = ((own.statistics(state.record), _of(other, key)) for state, key in zip(states, way, strict=True))
    return sum(found is not None and statistics_apart(one, found) < _ALIKE for one, found in pairs)


def _of(trace: Trace, key: str) -> Statistics | None:
    record = trace.find(key) if key else None
    return None if record is None else trace.statistics(record)


def _numel(trace: Trace, key: str) -> int | None:
    record = trace.find(key)
    return None if record is None else record.numel


def _last_state(state: NamedState, normed: str, own: Trace, other: Trace, stream: Stream) -> str:
    """The site of a list's last entry: what the last norm makes, or what the last layer returned, as its size tells."""
    layer = stream.layers.get(state.number - 1, "")
    if state.layout is None and layer and state.record.numel not in (_numel(other, layer), _numel(other, normed)):
        # Several streams are put together before the norm.
        return next((key for key in stream.after if _numel(other, key) == state.record.numel), normed)
    if state.layout is not None or normed in ("", layer) or not layer:
        return normed
    if _numel(other, layer) == state.record.numel != _numel(other, normed):
        return layer
    sizes = [found.l2 for found in _statistics(((own, state.record.key), (other, normed), (other, layer)))]
    is_layer = (
        len(sizes) == 3
        and math.isclose(sizes[0], sizes[2], rel_tol=1e-3)
        and not math.isclose(sizes[0], sizes[1], rel_tol=1e-3)
    )
    return layer if is_layer else normed


def _statistics(keys: Iterable[tuple[Trace, str]]) -> list[Statistics]:
    found = (_of(trace, key) for trace, key in keys)
    return [statistics for statistics in found if statistics is not None]
