"""The parts of the debugger's screen over a fake session and no screen at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from textual.screen import Screen

from tests.ui.fake import OFFER, FakeSession
from tracetui.debugger.driver import Driver
from tracetui.debugger.known_places import KnownPlaces
from tracetui.debugger.log.level import Level
from tracetui.debugger.readings.attention import Shown
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.expr.watch import Watch
from tracetui.recipe import texts
from tracetui.ui.debugger_screen.edits import EditActions
from tracetui.ui.debugger_screen.events import SessionEvents
from tracetui.ui.debugger_screen.files import FileActions
from tracetui.ui.debugger_screen.health import HealthActions
from tracetui.ui.debugger_screen.looks import LookActions
from tracetui.ui.debugger_screen.questions import LineQuestions
from tracetui.ui.debugger_screen.runs import RunActions
from tracetui.ui.debugger_screen.steps import StepActions
from tracetui.ui.debugger_screen.stops import StopActions

Result = TypeVar("Result")
Value = TypeVar("Value")


class FakeHost:
    """Notes what it is asked, reads at once, and keeps what takes the result of the dialog that was opened last."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.remarks: list[str | None] = []
        self.texts: list[str] = []
        self.problems: list[str] = []
        self.copied: list[str] = []
        self.dialogs: list[Screen[Any]] = []
        self.answer: Callable[[Any], None] = lambda result: None
        self.covered = False

    @property
    def state(self) -> ScreenState:
        return self.driver.state

    @property
    def dialog(self) -> Screen[Any] | None:
        return self.dialogs[-1] if self.covered else None

    def show(self, remark: str | None = "") -> None:
        self.remarks.append(remark)

    def say(self, text: str, level: Level = Level.INFO) -> None:
        self.texts += [text] if text else []

    def report(self, text: str, notice: str = "") -> None:
        self.problems.append(text)

    def copy(self, text: str, notice: str) -> None:
        self.copied.append(text)

    def push(self, dialog: Screen[Result], then: Callable[[Result | None], None] | None = None) -> None:
        self.dialogs.append(dialog)
        if then is not None:
            self.answer = then

    def read(
        self, group: str, work: Callable[[], Value], then: Callable[[Value], object], of_trace: bool = False
    ) -> None:
        then(work())


@dataclass
class FakeLine:
    """The module tree's line."""

    stop_pattern: str = ""
    has_focus: bool = False


@dataclass
class FakeWatches:
    """The list of watches."""

    watches: tuple[Watch, ...] = ()

    def toggle(self, watch: Watch) -> bool:
        stood = watch in self.watches
        self.watches = tuple(one for one in self.watches if one != watch) if stood else (*self.watches, watch)
        return not stood


@dataclass
class FakePanes:
    """Which pane is in front."""

    front: str = "tensor"
    typing: bool = False
    maximised: str = ""
    calls: list[str] = field(default_factory=list)

    def bring(self, pane: str) -> None:
        self.front = pane

    def give_room(self, maximised: str) -> None:
        self.maximised = maximised

    def to_prompt(self) -> None:
        self.calls.append("to prompt")

    def to_front(self) -> None:
        self.calls.append("to front")

    def leave_timeline(self) -> None:
        self.calls.append("left the timeline")


@dataclass
class FakePrompt:
    """The prompt line."""

    text: str = ""
    earlier: tuple[str, ...] = ()

    def ran(self, prompt: str) -> None:
        self.earlier += (prompt,)


@dataclass
class FakeAttention:
    """The pane of attention."""

    kind: Shown = "probs"
    heads: int = 4
    views: int = 0

    def next_kind(self) -> None:
        self.kind = "scores"

    def next_view(self) -> None:
        self.views += 1

    def check_heads(self) -> bool:
        return bool(self.heads)


@dataclass
class FakeTensor:
    """Its largest element is where the test says."""

    largest: tuple[int, ...] | None = None
    cells: list[tuple[int, int]] = field(default_factory=list)
    maps: int = 0

    def go_to(self, row: int, column: int) -> None:
        self.cells.append((row, column))

    def toggle_map(self) -> None:
        self.maps += 1


class FakeExperts:
    """The pane of experts."""

    def next_expert(self, by: int) -> str:
        return f"expert {by} further"


class Parts:
    """A driver over a fake session that has stopped at its first record, and who acts on it."""

    def __init__(self, page: StartPage = OFFER, start: bool = True) -> None:
        self.driver = Driver()
        self.log: list[str] = []
        self.cells: list[tuple[int, int]] = []
        self.words = ""
        """What the pane in front would copy."""
        self.host = FakeHost(self.driver)
        self.line, self.watches, self.panes, self.prompt = FakeLine(), FakeWatches(), FakePanes(), FakePrompt()
        self.tensor, self.attention, self.experts = FakeTensor(), FakeAttention(), FakeExperts()
        self.session = FakeSession(self.driver.heard)
        self.driver.opened(self.session)
        self.block: int | None = None
        questions = LineQuestions(KnownPlaces(), lambda: self.driver.state)
        self.steps = StepActions(self.host, self.line, questions, lambda by: self.block)
        self.stops = StopActions(self.host, self.line, self.watches, self.steps, questions)
        self.health = HealthActions(self.host, lambda row, column: self.cells.append((row, column)))
        self.edits = EditActions(self.host, self.line, questions, page.recording, {})
        self.runs = RunActions(self.host, page, self.panes, self.prompt, lambda call: call())
        self.looks = LookActions(self.host, self.panes, self.tensor, self.attention, self.experts)
        self.files = FileActions(self.host, page, {}, lambda: self.words)
        self.events = SessionEvents(
            self.host, self, self.panes, self.runs, self.stops, self.edits, self.health, self.looks
        )
        if start:
            self.driver.run(texts("the answer to everything is"))

    def add(self, text: str, level: Level = Level.EVENT) -> None:
        """A line of the log."""
        self.log.append(text)

    @property
    def site(self) -> str:
        return self.driver.state.record.site

    @property
    def remark(self) -> str | None:
        return self.host.remarks[-1]
