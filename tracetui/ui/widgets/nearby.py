"""The records around the cursor, one line each."""

from __future__ import annotations

from rich.style import Style
from textual import events

from tracetui.debugger.state import ScreenState
from tracetui.recording.record import Record
from tracetui.ui.messages import Jump
from tracetui.ui.painting.drawings import Drawing, Same
from tracetui.ui.widgets.canvas import StateCanvas
from tracetui.views.cells import Line, fit, line
from tracetui.views.health.marks import MARKS, UNLIKE
from tracetui.views.inks import Inks

_SHAPE = 20


class Nearby(StateCanvas):
    """Indented by depth, the current one marked; a click goes there."""

    def __init__(self) -> None:
        super().__init__(id="nearby")

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        super().watch_state(old, state)
        self.look_again()

    def drawing(self) -> Drawing:
        """Of the records behind those in sight, nothing is drawn."""
        state, height = self.state, self.size.height
        first = self._first(height)
        return Drawing((state.trace, state.cursor, first, min(first + height, state.frontier), Same(state.health)))

    def on_click(self, event: events.Click) -> None:
        index = self._first(self.size.height) + event.y
        if 0 <= index < self.state.frontier:
            self.post_message(Jump(index))

    def _first(self, height: int) -> int:
        return max(0, min(self.state.cursor - height // 2, self.state.frontier - height))

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        first = self._first(height)
        records = self.state.trace.records[first : min(first + height, self.state.frontier)]
        return [self._row(record, width, inks) for record in records]

    def _row(self, record: Record, width: int, inks: Inks) -> Line:
        here = record.index == self.state.cursor
        ground = inks.cursor if here else Style.null()
        shape = fit("×".join(str(length) for length in record.shape), min(_SHAPE, width // 3), right=True)
        name = fit(f"{' ' * record.depth}{site_in_layer(record)}", max(1, width - len(shape) - 9))
        unlike = UNLIKE if record.key in self.state.trace.unlike_replicas else " "
        mark = MARKS.get(self.state.health.get(record.index), unlike)
        parts = [
            (f"{'▶' if here else ' '}{record.index:>5}", inks.quiet + ground),
            (f"{mark} ", (inks.nan if mark == "!" else inks.quiet) + ground),
            (name, inks.text + ground),
            (f"{shape} ", inks.quiet + ground),
        ]
        return line(parts, width)


def site_in_layer(record: Record) -> str:
    """The site within its layer, with the layer's number before it: `0 .self_attn.q_proj`."""
    if record.layer is None:
        return record.key
    place = record.key[record.key.find(record.site_in_layer) :] if record.site_in_layer else ""
    return f"{record.layer}{place}"
