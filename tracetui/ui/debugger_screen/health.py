"""Who made the NaN: asked for by a key, or at once where a stop found one; and how near a run came to overflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tracetui.analysis.health.marks import Marks, health_marks
from tracetui.debugger.log.level import Level
from tracetui.debugger.no_step import nothing_yet
from tracetui.debugger.readings.planes import place_of
from tracetui.debugger.session import Event, Finished, Fired, Opened, Viewed
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.ui.debugger_screen.host import Handlers, Host

if TYPE_CHECKING:
    from tracetui.ui.dialogs.health import FirstBadElement, HealthRead

_OVERFLOWING = frozenset({"float16", "float8_e4m3fn", "float8_e5m2"})
_LOOKED_AT = 50
"""Records by which one sees in what dtype a model runs."""


class HealthActions:
    """Diagnoses, and the marks that the tree and the list of records have of them."""

    def __init__(self, host: Host, show_cell: Callable[[int, int], None]) -> None:
        """show_cell: go to a row and column of the matrix on view, once it is there."""
        self._host = host
        self._show_cell = show_cell

    @property
    def handlers(self) -> Handlers:
        return {"health": self.diagnose}

    def hear(self, event: Event) -> None:
        """Where values stopped being numbers, who made it is shown at once."""
        if isinstance(event, Fired):
            bad = next((hit for hit in event.hits if hit.stop.watches_health), None)
            if bad is not None:
                self._read(self._host.state.trace.records[bad.index])
        elif isinstance(event, Opened | Viewed) and not event.trace.dump:
            # A trace file has the statistics that tell; of a script's tensors all would have to be read.
            self.mark()
        elif isinstance(event, Finished):
            if self._host.state.health:
                self.mark()
            if not event.cancelled and _overflows(event.trace):
                self._host.read("limits", partial(read_limits, event.trace), self._warn)

    def _warn(self, texts: tuple[str, ...]) -> None:
        for text in texts:
            self._host.say(text, Level.WARNING)

    def diagnose(self) -> None:
        """Who made the NaN or the infinity in the record under the cursor."""
        state = self._host.state
        if state.cursor < 0:
            self._host.show(nothing_yet(state))
        else:
            self._read(state.record)

    def _read(self, record: Record) -> None:
        from tracetui.ui.dialogs.health import read_health

        self._host.read("health", partial(read_health, self._host.state.trace, record), self._show)

    def _show(self, health: HealthRead) -> None:
        from tracetui.ui.dialogs.health import HealthScreen

        if health.diagnosis is not None:
            self.mark()
        if self._host.dialog is None and health.trace is self._host.state.trace:
            self._host.push(HealthScreen(health), self._to_origin)

    def _to_origin(self, origin: FirstBadElement | None) -> None:
        """To the record that made it, with its first bad element on view."""
        if origin is None:
            return
        driver = self._host.driver
        remark = driver.jump(origin.index)
        if origin.element is not None and driver.state.cursor == origin.index:
            state = driver.state
            place = place_of(state.record, state.trace.run.config, origin.element, state.head, state.batch)
            driver.state = replace(state, head=place.head, batch=place.batch)
            self._show_cell(place.row, place.column)
        self._host.show(remark)

    def mark(self) -> None:
        """Have the tree and the list of records mark who made what isn't finite, and who passes it on."""
        state = self._host.state
        self._host.read("health marks", partial(health_marks, state.trace, state.frontier), self._marked, of_trace=True)

    def _marked(self, marks: Marks) -> None:
        self._host.driver.state = replace(self._host.state, health=marks)
        self._host.show(None)


def _overflows(trace: Trace) -> bool:
    """Whether a model runs in a dtype whose largest number is near."""
    return any(record.dtype in _OVERFLOWING for record in trace.records[:_LOOKED_AT])


def read_limits(trace: Trace) -> tuple[str, ...]:
    """Which records come near overflow, a line each; empty if none does."""
    from tracetui.views.health.lines import near_limit_lines

    return tuple(near_limit_lines(trace))
