"""Which of a module's calls a script kept, where it kept one of several under the module's bare name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tracetui.analysis.diff.alignment.named import Named
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace

_ALIKE = 0.02
"""Up to what share of its norm a tensor's statistics may be off in a right port, in the narrowest dtypes."""
_NEARER = 4.0
"""By how much nearer than the last one an earlier call has to be, to be taken."""


def name_calls(side: dict[str, Named], own: Trace, other: Trace, others: Mapping[str, Named]) -> None:
    """Add the call to a plain file's bare name where the other side has several calls of that site."""
    if not own.dump or other.dump:
        return
    calls: dict[tuple[str, int], list[Named]] = {}
    for named in others.values():
        calls.setdefault((named.site.partition("@")[0], named.record.pass_), []).append(named)
    counts = Counter((site.partition("@")[0], named.record.pass_) for site, named in side.items())
    for (plain, pass_), several in calls.items():
        site = f"{plain}@{pass_}" if pass_ else plain
        if len(several) > 1 and counts[plain, pass_] == 1 and site in side:
            kept = _kept_call(own, side[site].record, other, [named.record for named in several])
            there = next((named.site for named in several if named.record is kept), site)
            side[there] = replace(side.pop(site), site=there)


def _kept_call(own: Trace, kept: Record, other: Trace, calls: Sequence[Record]) -> Record | None:
    """The record of several calls' that a plain file's one record stands for; None where none has as many elements.

    A dict that hooks write to holds each module's last call. A script may have kept an earlier one, which shows in the
    values.
    """
    same_size = [record for record in calls if record.numel == kept.numel]
    if not same_size:
        return None
    statistics = own.statistics(kept)
    apart = {record.index: statistics_apart(statistics, other.statistics(record)) for record in same_size}
    *_, last = same_size
    nearest = min(same_size, key=lambda record: (apart[record.index], -record.index))
    distance = apart[nearest.index]
    return nearest if distance < _ALIKE and distance * _NEARER < apart[last.index] else last


def statistics_apart(one: Statistics, other: Statistics) -> float:
    """How far two tensors are apart as far as statistics tell, as a share of the second one's norm; inf if unknown."""
    if one.finite_count != other.finite_count or not other.l2 > 0:
        return math.inf
    root = math.sqrt(one.finite_count)
    differences = (
        one.l2 - other.l2,
        (one.mean - other.mean) * root,
        one.max - other.max,
        one.min - other.min,
    )
    return max(abs(difference) for difference in differences) / other.l2
