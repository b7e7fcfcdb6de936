"""A screen that is styled and painted once when it comes."""

from __future__ import annotations

from typing import Self

from textual import events
from textual.geometry import Size
from textual.screen import Screen


class SizedScreen(Screen[None]):
    """Has the classes of its breakpoints before its widgets are made.

    Textual gives them to it once it has been laid out and painted, and has to style and paint all of it again then.
    """

    _was_on_view = False

    def arranged_for(self, size: Size) -> Self:
        """The screen, as it is to be for a terminal of that size."""
        for length, breakpoints in (
            (size.width, self.HORIZONTAL_BREAKPOINTS),
            (size.height, self.VERTICAL_BREAKPOINTS),
        ):
            reached = [name for least, name in sorted(breakpoints or ()) if length >= least]
            self.add_class(*reached[-1:])
        return self

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """The first time, all of it has just been styled."""
        if not self._was_on_view:
            event.refresh_styles = False
        self._was_on_view = True
