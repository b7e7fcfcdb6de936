"""What the parts of the debugger's screen ask of it, so that each of them works, and is tested, without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from textual.screen import Screen

from tracetui.debugger.driver import Driver
from tracetui.debugger.log.level import Level
from tracetui.debugger.state import ScreenState

Result = TypeVar("Result")
Value = TypeVar("Value")

Handlers = Mapping[str, Callable[..., None]]
"""What commands do, by their ids."""


class Host(Protocol):
    """Whoever shows the driver's state, opens dialogs and reads in the background."""

    @property
    def driver(self) -> Driver:
        """The debugger's rules."""

    @property
    def state(self) -> ScreenState:
        """The driver's."""

    def show(self, remark: str | None = "") -> None:
        """Show the driver's state, and a remark in the step line; None leaves the one that is there."""

    def say(self, text: str, level: Level = Level.INFO) -> None:
        """Have the user read one message, and the log keep it; nothing where there is no text."""

    def report(self, text: str, notice: str = "") -> None:
        """Something went wrong beside the run: the log keeps it, and a notice shows it, or what `notice` says."""

    def copy(self, text: str, notice: str) -> None:
        """Put a text into the clipboard, with a notice that says so."""

    def push(self, dialog: Screen[Result], then: Callable[[Result | None], None] | None = None) -> None:
        """Open a dialog, and hand its result to `then`."""

    def read(
        self, group: str, work: Callable[[], Value], then: Callable[[Value], object], of_trace: bool = False
    ) -> None:
        """Do work in the background and hand what it returns to `then`.

        of_trace: the answer belongs to the trace on view, and is dropped once another one is there.
        """

    @property
    def dialog(self) -> Screen[object] | None:
        """What covers the screen; None where nothing does."""


class TreeLine(Protocol):
    """The line that the user is on in the module tree."""

    @property
    def has_focus(self) -> bool:
        """Whether the tree hears the keys."""

    @property
    def stop_pattern(self) -> str:
        """The pattern of the line's records; empty where nothing runs."""


class Panes(Protocol):
    """How the panes are arranged."""

    front: str
    """The id of the one in front."""

    @property
    def typing(self) -> bool:
        """Whether keys are text now."""

    @property
    def maximised(self) -> str:
        """Which has all the room: `pane` for the one in front, `tree`, or empty for none."""

    def bring(self, pane: str) -> None:
        """Bring a pane to the front."""

    def give_room(self, maximised: str) -> None:
        """Give all the room to what `maximised` names."""

    def to_prompt(self) -> None:
        """Have the prompt line hear the keys."""

    def to_front(self) -> None:
        """Have the pane in front hear the keys."""

    def leave_timeline(self) -> None:
        """Give the keys back to what had them before the timeline."""


class TypedPrompt(Protocol):
    """The line in which the prompt is typed; over a recording there is none."""

    @property
    def text(self) -> str:
        """What stands in it; empty where there is none."""

    @property
    def earlier(self) -> tuple[str, ...]:
        """Texts that were run, the newest last."""

    def ran(self, prompt: str) -> None:
        """Remember a prompt that was given to the model."""
