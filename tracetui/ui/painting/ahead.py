"""What the next key probably shows is drawn while nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from textual.widget import Widget

from tracetui.debugger.readings.beside import beside
from tracetui.debugger.state import ScreenState
from tracetui.ui.reader import read_in_background

REST = 0.25
"""Seconds without a change after which it is drawn: what it shows has mostly been read by then."""
_APART = 0.005
"""Seconds between two drawings, in which a key is heard."""


class DrawsAhead(Protocol):
    """A widget, or a pane of some."""

    def draw_ahead(self, state: ScreenState) -> None:
        """Keep what another state would show, in a few milliseconds."""


class DrawnAhead:
    """Has each of some widgets draw the records that the next key probably leads to, one after another."""

    def __init__(self, owner: Widget, widgets: Callable[[], Iterable[DrawsAhead]]) -> None:
        self._owner = owner
        self._widgets = widgets
        self._state = ScreenState()
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, _old: ScreenState, state: ScreenState) -> None:
        """Another state is on the screen, or the same one again."""
        self._state = state
        self._later(REST, self._begin)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._owner.call_later, call)

    def _begin(self) -> None:
        state = self._state
        # In a long recording the next layer may be far.
        then = partial(self.draw, state)
        read_in_background(self._owner, "beside", partial(beside, state), then, lambda: self._state)

    def draw(self, state: ScreenState, indices: Sequence[int]) -> None:
        """Draw these records, as long as the state is the one on the screen."""
        states = [replace(state, cursor=index) for index in indices]
        self._go_on(state, [partial(widget.draw_ahead, each) for each in states for widget in self._widgets()])

    def _go_on(self, state: ScreenState, drawings: list[Callable[[], None]]) -> None:
        if drawings and state is self._state:
            drawings.pop(0)()
            self._later(_APART, partial(self._go_on, state, drawings))
