"""The tour's card: what to look at, and which key leads on. It lies above the step line until the tour is left."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tracetui.debugger.home.tour import LEAVES, PREPARING, PROMPT_GIVEN, TOUR
from tracetui.debugger.state import ScreenState
from tracetui.ui.keys.commands import COMMANDS, shown_key


class TourCard(Widget):
    """Goes on when the command of its step was done; every other key does what it always does."""

    place: reactive[int] = reactive(0, layout=True)
    """Of the step, from 0."""
    state: reactive[ScreenState] = reactive(ScreenState(), layout=True)

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__(id="tour")
        self._left = TOUR[0].presses
        """Presses that the step still waits for."""
        self._keys = {command.id: shown_key(command, keymap) for command in COMMANDS} | {PROMPT_GIVEN: "Enter"}

    def hear(self, command: str) -> None:
        """A command was done, whether or not there is a tour."""
        if not self.is_attached:
            return
        if command == TOUR[self.place].command:
            self._left -= 1
        if command == LEAVES or (self.place + 1 == len(TOUR) and not self._left):
            self.remove()
        elif not self._left:
            self.place += 1
            self._left = TOUR[self.place].presses
        self.refresh()

    def render(self) -> Content:
        step = TOUR[self.place]
        width = max(20, self.content_size.width)
        right = Content.assemble(("Esc", "bold $accent"), (" leaves the tour", "$quiet"))
        left = Content.assemble(
            (f"{self.place + 1} of {len(TOUR)}  ", "$quiet"), (step.title, "bold $primary")
        ).truncate(max(1, width - right.cell_length - 1), ellipsis=True)
        title = Content.assemble(left, " " * max(1, width - left.cell_length - right.cell_length), right)
        text = PREPARING if self.place and self.state.cursor < 0 else step.text
        keys = " ".join([self._keys[step.command]] * self._left)
        does = step.last if step.last and self._left == 1 else step.does
        call = Content.assemble((keys, "bold $accent"), f" {does}")
        return Content("\n").join([title, Content("\n".join(textwrap.wrap(text, width))), call])
