"""What stands before a line of the module tree: what it did, who stops there, what went wrong in it."""

from __future__ import annotations

from tracetui.analysis.health.diagnosis import HealthPart
from tracetui.analysis.health.marks import marks_by_module
from tracetui.debugger.edits import names_line
from tracetui.debugger.fault import NO_FAULT
from tracetui.debugger.state import ScreenState
from tracetui.debugger.stop_book import names_module
from tracetui.recording.record import plain_site
from tracetui.views.health.marks import MARKS, UNLIKE


class LineMarks:
    """Worked out when a line is drawn, and kept until stops, edits or health are others."""

    def __init__(self) -> None:
        self._state = ScreenState()
        self._of_path: dict[str, str] = {}
        self._health: dict[str, HealthPart] = {}
        self._unlike: set[str] = set()

    def use(self, state: ScreenState) -> bool:
        """Have the marks be those of a state; whether any may be another one now."""
        old, self._state = self._state, state
        if state.stops is not old.stops or state.edits is not old.edits or state.outline is not old.outline:
            self._of_path = {}
        if state.trace is not old.trace:
            self._unlike = {plain_site(key).partition(":")[0] for key in state.trace.unlike_replicas}
        if state.health is not old.health:
            self._health = marks_by_module(state.trace, state.health)
        return any(is_now is not was for is_now, was in zip(_decides(state), _decides(old), strict=True))

    def of(self, path: str, site: str) -> str:
        """The mark of a line by its path and by the pattern of its records; a space where there is none."""
        if self._failed(path):
            return "✗"
        health = self._health.get(path)
        if health is HealthPart.PRODUCES:
            # No stop is more to the point than where a NaN or an infinity was made.
            return MARKS[health]
        if (stop := self._stop(path, site)) != " ":
            return stop
        if health is not None:
            return MARKS.get(health, " ")
        return UNLIKE if path in self._unlike else " "

    def _failed(self, path: str) -> bool:
        """Whether the line's module is the one whose own code failed."""
        return self._state.fault is not NO_FAULT and path == self._state.fault.path

    def _stop(self, path: str, site: str) -> str:
        """`●` where a stop names the line's module or something it computes, `E` where an edit does; `○`, `e`: off."""
        if path not in self._of_path:
            stops = [stop for stop in self._state.stops.stops if site and names_module(stop, site)]
            on = any(stop.on for stop in stops)
            self._of_path[path] = ("●" if on else "○") if stops else self._edit(site)
        return self._of_path[path]

    def _edit(self, site: str) -> str:
        edits = [edit for edit in self._state.edits if site and names_line(edit, site)]
        return ("E" if any(edit.on for edit in edits) else "e") if edits else " "


def _decides(state: ScreenState) -> tuple[object, ...]:
    """What the marks come from."""
    return state.stops, state.edits, state.outline, state.trace, state.health, state.fault
