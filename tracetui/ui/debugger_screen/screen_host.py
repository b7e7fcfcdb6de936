"""The debugger's screen as its parts see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from textual.screen import Screen
from textual.timer import Timer

from tracetui.debugger.driver import Driver
from tracetui.debugger.log.level import Level
from tracetui.debugger.state import ScreenState
from tracetui.ui.foreign import notify
from tracetui.ui.messages import Said
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.step_bar import StepBar

if TYPE_CHECKING:
    from tracetui.ui.debugger_screen.screen import DebuggerScreen

Result = TypeVar("Result")
Value = TypeVar("Value")
_REST = 0.25
"""Seconds without a key after which what is typed is worked out."""


class ScreenHost:
    """Of the widgets it knows the step line, which shows remarks, and the log."""

    def __init__(self, screen: DebuggerScreen, driver: Driver) -> None:
        self.driver = driver
        self.step_bar = StepBar()
        self.followers: list[Callable[[ScreenState, ScreenState], None]] = []
        """Called with the state that was shown and the one that is."""
        self._screen = screen
        self._early: list[str] | None = []
        """Reported before there was a log; None once there is one."""
        self._rest: Timer | None = None

    @property
    def state(self) -> ScreenState:
        return self.driver.state

    def show(self, remark: str | None = "") -> None:
        before, self._screen.state = self._screen.state, self.driver.state
        for follow in self.followers:
            follow(before, self.driver.state)
        if remark is not None:
            self.step_bar.remark = remark

    def forget_remark(self) -> None:
        self.step_bar.remark = ""

    def say(self, text: str, level: Level = Level.INFO) -> None:
        if text:
            self._screen.post_message(Said(text, level))

    def tell(self, text: str, level: Level) -> None:
        """What was said arrives: in the log, and as a notice."""
        self._screen.arrangement.log.add(text, level)
        notify(self._screen.app, text, severity="warning" if level is Level.WARNING else "information", beside=True)

    def report(self, text: str, notice: str = "") -> None:
        if self._early is not None:
            self._early.append(text)
            return
        self._screen.arrangement.log.add(text, Level.ERROR)
        notify(self._screen.app, notice or text, severity="error", beside=True)

    def log_early(self) -> None:
        """What was reported before there was a log; from now on there is one."""
        early, self._early = self._early or (), None
        for text in early:
            self._screen.arrangement.log.add(text, Level.ERROR)

    def copy(self, text: str, notice: str) -> None:
        self._screen.app.copy_to_clipboard(text)
        notify(self._screen.app, notice)

    def push(self, dialog: Screen[Result], then: Callable[[Result | None], None] | None = None) -> None:
        self._screen.app.push_screen(dialog, then)

    def read(
        self, group: str, work: Callable[[], Value], then: Callable[[Value], object], of_trace: bool = False
    ) -> None:
        if of_trace:
            read_in_background(self._screen, group, work, then, lambda: self.state.trace)
        else:
            read_in_background(self._screen, group, work, then)

    @property
    def dialog(self) -> Screen[object] | None:
        top = self._screen.app.screen
        return None if top is self._screen else top

    def once_at_rest(self, call: Callable[[], None]) -> None:
        if self._rest is not None:
            self._rest.stop()
        self._rest = self._screen.set_timer(_REST, call)
