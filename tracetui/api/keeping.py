"""Which values of a run stay with its trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from tracetui.trace.trace import Trace
from tracetui.trace.value import StatisticsValue, Value

Keep = str | Sequence[str]
"""`all`, `stats`, or one or more patterns of sites such as `*.self_attn:*`."""
KEEP_ALL = "all"
KEEP_STATISTICS = "stats"


def kept(trace: Trace, keep: Keep) -> Trace:
    """The trace with the values of chosen sites, and the statistics alone of all others."""
    if keep == KEEP_ALL:
        return trace
    patterns = [keep] if isinstance(keep, str) else list(keep)
    if keep == KEEP_STATISTICS:
        patterns = []
    stays = {
        id(value)
        for record, value in zip(trace.records, trace.values, strict=True)
        if any(fnmatchcase(record.site, pattern) for pattern in patterns)
    }
    values = tuple(value if id(value) in stays else _statistics_alone(value) for value in trace.values)
    return replace(trace, values=values)


def _statistics_alone(value: Value) -> Value:
    return StatisticsValue(value.shape, value.dtype, value.statistics())
