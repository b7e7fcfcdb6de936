"""What is worked out over a trace for the debugger's stops, off the screen's thread."""

from __future__ import annotations

from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit, look_up
from tracetui.recording.trace import Trace
from tracetui.views.health.lines import near_limit_lines


def read_limits(trace: Trace) -> str:
    """Which records come near overflow, in lines; empty if none does."""
    return "\n".join(near_limit_lines(trace))


def look_up_stops(trace: Trace, stops: list[Stop], count: int) -> tuple[tuple[str, tuple[Hit, ...]], ...]:
    """By their texts, where stops hold among the first `count` records of a trace."""
    records = [trace.records[index] for index in range(count)]
    return tuple((stop.text, look_up(trace, stop, records)[0]) for stop in stops)
