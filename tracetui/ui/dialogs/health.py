"""How sound a record is: who made a NaN, which elements, and how the last records before it grew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from tracetui.analysis.health.diagnosis import Diagnosis, NearLimit, diagnose, near_limit
from tracetui.recording.health import is_sound
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import CLOSE, DialogKeys
from tracetui.ui.widgets.report_lines import ReportLines
from tracetui.views.config_lines import ConfigLine, LineKind
from tracetui.views.health.lines import health_lines, near_limit_line, sound_lines

_FRAME = 6
"""Lines of the dialog around the report."""


@dataclass(frozen=True, slots=True)
class FirstBadElement:
    """The record that made what isn't finite, and its first such element; None where values were not kept."""

    index: int
    element: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class HealthRead:
    """What is known of a record and of those before it."""

    trace: Trace
    record: Record
    diagnosis: Diagnosis | None
    near: NearLimit | None

    @property
    def origin(self) -> FirstBadElement:
        """What made it."""
        producers = self.diagnosis.producers if self.diagnosis else ()
        elements = self.diagnosis.elements if self.diagnosis else None
        first = elements.first[0][0] if elements and elements.first else None
        return FirstBadElement(producers[0].record.index if producers else self.record.index, first)

    def lines(self, width: int) -> list[ConfigLine]:
        near = [] if self.near is None else [near_limit_line(self.near)]
        if self.diagnosis is None:
            return list(sound_lines(self.trace, self.record, near, width))
        lines = list(health_lines(self.trace, self.diagnosis, width))
        return [*lines, *(ConfigLine(line, LineKind.TEXT) for line in ("", *near) if near)]


class HealthScreen(Dialog[FirstBadElement | None]):
    """The answer is what made it, or None."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,exclamation_mark", "dismiss(None)", "close", show=False, id="health_close"),
        Binding("enter", "origin", "to the element that was made first", show=False, id="health_origin"),
    ]

    def __init__(self, read: HealthRead) -> None:
        super().__init__()
        self._read = read

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="health"):
            yield ReportLines()
            origin = [("Enter", "to the first such element", "origin")] if self._read.diagnosis else []
            yield DialogKeys(*origin, CLOSE, ("↑↓", "scroll", ""))

    def on_mount(self) -> None:
        self.query_one(ReportLines).focus()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._lay)

    def _lay(self) -> None:
        report = self.query_one(ReportLines)
        lines = self._read.lines(report.room)
        report.show(lines)
        self.query_one("#health").styles.max_height = len(lines) + _FRAME

    def action_origin(self) -> None:
        self.dismiss(self._read.origin)


def read_health(trace: Trace, record: Record) -> HealthRead:
    """The diagnosis of a record that isn't sound, and how near any is to overflow."""
    bad = not is_sound(record, trace.value(record))
    return HealthRead(trace, record, diagnose(trace, record) if bad else None, near_limit(trace, record))
