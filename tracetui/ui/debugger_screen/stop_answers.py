"""What is worked out over a trace for the debugger's stops, off the screen's thread, and how it is told."""

from __future__ import annotations

from textual.message import Message

from tracetui.analysis.health.marks import Marks, health_marks
from tracetui.expr.stop import Stop
from tracetui.expr.watcher import Hit, look_up
from tracetui.recording.trace import Trace
from tracetui.ui.messages import Said
from tracetui.views.health.lines import near_limit_lines


class Quiet(Message):
    """There is nothing to say."""


class StopsLookedUp(Message):
    """Where stops hold among the first `count` records of a trace."""

    def __init__(self, trace: Trace, count: int, found: tuple[tuple[str, tuple[Hit, ...]], ...]) -> None:
        super().__init__()
        self.trace = trace
        self.count = count
        self.found = found


class HealthMarked(Message):
    """What the records of a trace have to do with NaN and infinities."""

    def __init__(self, trace: Trace, marks: Marks) -> None:
        super().__init__()
        self.trace = trace
        self.marks = marks


def read_limits(trace: Trace) -> Said | Quiet:
    lines = list(near_limit_lines(trace))
    return Said("\n".join(lines)) if lines else Quiet()


def read_marks(trace: Trace, frontier: int) -> HealthMarked:
    return HealthMarked(trace, health_marks(trace, frontier))


def look_up_stops(trace: Trace, stops: list[Stop], count: int) -> StopsLookedUp:
    records = [trace.records[index] for index in range(count)]
    return StopsLookedUp(trace, count, tuple((stop.text, look_up(trace, stop, records)[0]) for stop in stops))
