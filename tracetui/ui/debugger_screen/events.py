"""What the session tells, passed on to those who do something about it."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from tracetui.debugger.log.level import Level
from tracetui.debugger.log.lines import failure_lines, log_lines
from tracetui.debugger.session import (
    NO_PREVIEW,
    Event,
    Failed,
    Finished,
    Opened,
    Prepared,
    Preview,
    Started,
    Stopped,
    Viewed,
)
from tracetui.ui.debugger_screen.edits import EditActions
from tracetui.ui.debugger_screen.health import HealthActions
from tracetui.ui.debugger_screen.host import Host, Panes
from tracetui.ui.debugger_screen.looks import LookActions
from tracetui.ui.debugger_screen.runs import RunActions
from tracetui.ui.debugger_screen.stops import StopActions
from tracetui.ui.painting.notices import Notices


class Log(Protocol):
    """The pane of what happened."""

    def add(self, text: str, level: Level = Level.EVENT) -> None:
        """One entry."""


class SessionEvents:
    """Hears every event: first the driver, then the log and the parts of the screen."""

    def __init__(
        self,
        host: Host,
        log: Log,
        panes: Panes,
        runs: RunActions,
        stops: StopActions,
        edits: EditActions,
        health: HealthActions,
        looks: LookActions,
    ) -> None:
        self._host = host
        self._log = log
        self._panes = panes
        self._runs = runs
        self._stops = stops
        self._edits = edits
        self._health = health
        self._looks = looks
        self.notices = Notices(partial(host.show, None))

    def hear(self, event: Event) -> None:
        if isinstance(event, Preview) and event.prompts != self._runs.prompts:
            # Of a text that has been changed since.
            return
        self._host.driver.heard(event)
        self._note(event)
        if not self.notices.takes(event):
            turning = isinstance(event, Started | Stopped | Finished | Failed | Opened | Viewed)
            self._host.show("" if turning else None)
        self._health.hear(event)
        self._edits.hear(event)
        if isinstance(event, Opened):
            self._panes.to_front()
        if isinstance(event, Prepared) and event.preview is not NO_PREVIEW:
            self._runs.look_ahead()

    def _note(self, event: Event) -> None:
        """What an event leaves in the log, and brings to a dialog."""
        for text in (*log_lines(event), *self._stops.hear(event)):
            self._log.add(text)
        self._looks.hear(event)
        if isinstance(event, Failed):
            # A notice covers values: what the error came through stands in the log alone.
            self._host.report("\n".join(failure_lines(event)), event.error)
