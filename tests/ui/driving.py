"""Starts the application over a fake session and looks at what is on its screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from textual.app import App
from textual.pilot import Pilot
from textual.worker import WorkerCancelled

from tests.ui.fake import OFFER, FakeSession
from tracetui.debugger.session import Listener, Module
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.ui.app import TracetuiApp
from tracetui.ui.debugger_screen.screen import DebuggerScreen
from tracetui.ui.panes.log.pane import LogPane
from tracetui.ui.panes.pane import ReadingPane


@dataclass
class Driven:
    """A running application, its pilot and its session."""

    app: TracetuiApp
    pilot: Pilot[int]
    sessions: list[FakeSession]

    @property
    def session(self) -> FakeSession:
        return self.sessions[0]

    @property
    def screen(self) -> DebuggerScreen:
        return self.app.debugger

    @property
    def top(self) -> DebuggerScreen:
        """The model or recording on view."""
        assert isinstance(self.app.screen, DebuggerScreen)
        return self.app.screen

    @property
    def state(self) -> ScreenState:
        return self.screen.state

    @property
    def site(self) -> str:
        return self.state.record.key

    @property
    def log(self) -> str:
        return self.screen.query_one(LogPane).text

    @property
    def notices(self) -> list[str]:
        return [notice.message for notice in self.app._notifications]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self, rests: bool = True) -> None:
        """Until every worker has answered and the answers are on the screen.

        rests: as if no key came for a while, after which panes are read that aren't on view.
        """
        await self.pilot.pause()
        if rests:
            for pane in self.app.screen.query(ReadingPane):
                pane.catch_up()
        await workers_done(self.app)
        await self.pilot.pause()

    def text(self) -> str:
        """What is on the screen, line by line."""
        lines = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)

    def line(self, y: int) -> str:
        return self.text().splitlines()[y]


async def workers_done(app: App[Any]) -> None:
    """Until all workers are done, those too that take the place of one that is waited for."""
    while True:
        with suppress(WorkerCancelled):
            await app.workers.wait_for_complete()
            return


@asynccontextmanager
async def driven(
    size: tuple[int, int] = (120, 40),
    offer: StartPage = OFFER,
    outline: Module | None = None,
    hold: bool = False,
    prepare: Callable[[FakeSession], None] = lambda session: None,
) -> AsyncIterator[Driven]:
    """The application once its session has reported that it is prepared."""
    sessions: list[FakeSession] = []

    def open_session(listener: Listener) -> FakeSession:
        sessions.append(FakeSession(listener, outline, hold))
        prepare(sessions[0])
        return sessions[0]

    app = TracetuiApp(open_session, offer)
    async with app.run_test(size=size) as pilot:
        found = Driven(app, pilot, sessions)
        await found.settle()
        yield found
