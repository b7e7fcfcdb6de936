"""How far the model is: shown a few times a second, however often it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tracetui.debugger.session import Advanced, Event, Progress
from tracetui.debugger.state import ScreenState

APART = 0.1
"""Seconds from whatever was shown last until something is painted for a notice alone."""


class Notices:
    """What a key shows has the newest notice in it: no other paint follows it at once."""

    def __init__(self, show: Callable[[], None]) -> None:
        self._show = show
        self._rest: asyncio.TimerHandle | None = None
        """Until when nothing is shown for a notice alone."""
        self._waits = False
        """Whether there is something to show then."""

    def takes(self, event: Event) -> bool:
        """Whether an event is a notice; then it is shown, now or soon."""
        if not isinstance(event, Progress | Advanced):
            return False
        self._waits = True
        if self._rest is None:
            self._show()
        return True

    def shown(self, _old: ScreenState, _state: ScreenState) -> None:
        """The newest state is on the screen, for whatever reason."""
        self._waits = False
        if self._rest is not None:
            self._rest.cancel()
        self._rest = asyncio.get_running_loop().call_later(APART, self._rested)

    def _rested(self) -> None:
        self._rest = None
        if self._waits:
            self._show()
