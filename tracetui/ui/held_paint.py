"""The screen waits a moment for what is being read, so that a key mostly repaints it once."""

from __future__ import annotations

import time
from asyncio import get_running_loop
from contextlib import ExitStack
from typing import Any
from weakref import WeakKeyDictionary, proxy

from textual.app import App
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget

LONGEST_HOLD = 0.016
"""Seconds for which the screen is not painted, at most: a slower read is painted once it is there."""
_REST = 0.04
"""Seconds without a hold after one that was too long, so that slow reads one after another don't stop all painting."""


class HeldPaint:
    """Holds back one application's painting while at least one read of it is under way."""

    def __init__(self, app: App[Any]) -> None:
        # It is found by the application, which would never be gone otherwise.
        self._app: App[Any] = proxy(app)
        self._reads: dict[object, object] = {}
        """The newest read of each group, which alone is waited for."""
        self._batch = ExitStack()
        self._ends = 0.0
        """When the hold ends, whether the reads are there or not."""
        self._rests_until = 0.0
        self._painted_on: object = None
        """The screen and its size when the hold began, as long as it lasts."""

    def begin(self, group: object, read: object) -> None:
        """Hold for a read that begins; newer reads of its group replace it."""
        now = time.monotonic()
        if now < self._rests_until:
            return
        if not self._reads:
            self._batch.enter_context(self._app.batch_update())
            self._painted_on = self._app.screen, self._app.size
            if now >= self._ends:
                # A hold soon after another shares its end: many quick ones would stop painting as well.
                self._ends = now + LONGEST_HOLD
                get_running_loop().call_later(LONGEST_HOLD, self._app.call_later, self._give_up)
        self._reads[group] = read

    def end(self, group: object, read: object) -> None:
        """A read was answered, or won't be: the last one lets the screen be painted."""
        if self._reads.get(group) is read:
            del self._reads[group]
            if not self._reads:
                self._paint()

    def _give_up(self) -> None:
        if self._reads:
            self._reads.clear()
            self._rests_until = time.monotonic() + _REST
            self._paint()

    def _paint(self) -> None:
        self._batch.close()
        if not self._app.screen_stack:
            # The application has ended meanwhile.
            return
        screen, painted_on = self._app.screen, self._painted_on
        self._painted_on = None
        if (screen, self._app.size) != painted_on:
            # What another screen or size drew at once was dropped meanwhile.
            screen.refresh()
        screen.check_idle()


_HELD: WeakKeyDictionary[App[Any], HeldPaint] = WeakKeyDictionary()


def held_paint(app: App[Any]) -> HeldPaint:
    """The application's own."""
    return _HELD.setdefault(app, HeldPaint(app))


def hold_until_heard(widget: Widget) -> None:
    """Paint nothing until a message that a widget has just posted was heard up to its screen, and what came of it."""
    hold, (group, read) = held_paint(widget.app), ((widget, "heard"), object())

    def rest(screen: DOMNode) -> None:
        # Widgets tell the screen that they need another place when their turn comes, which is the next one.
        get_running_loop().call_soon(screen.call_later, hold.end, group, read)

    def go_up(node: DOMNode | None) -> None:
        if node is None or isinstance(node, Screen):
            rest(node or widget)
        else:
            node.call_later(go_up, node.parent)

    hold.begin(group, read)
    go_up(widget)
