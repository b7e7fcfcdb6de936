"""What a pane is: its record in the table of panes, and a base for those that read in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Generic, TypeVar

from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget

from tracetui.debugger.readings.beside import beside
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.ui.messages import FillAsked
from tracetui.ui.reader import read_in_background

REST = 0.15
"""Seconds without a change after which a pane is read that isn't on view."""
HAS_KEYS = "▌"
"""Before the title of the pane that hears the keys."""
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Pane:
    """A pane as the screen, its tabs, the keys and the help know it."""

    id: str
    """Of its widget too, and of the command that brings it to the front, with `pane_` before it."""
    key: str
    title: str
    help: str
    """What it shows, in the list of keys."""
    make: Callable[[StartPage], Widget]
    hears: tuple[str, ...]
    """The classes of the widgets in it that hear the keys, by name: that which is on view does."""
    short: str = ""
    """The title where there is no room for all titles; empty: the title is short."""


class ReadingPane(Widget, Generic[Value]):
    """Shows what is read of the state. A subclass says what it looks at, how that is read, and how it is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "fill", "to what an empty pane would show", show=False, id="fill_pane"),
    ]
    reads_ahead: ClassVar = False
    """Whether it has something read before anybody asks."""
    filled_by: ClassVar[str] = ""
    """The role of the records that an empty pane has something to show of."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    def __init__(self, pane: str) -> None:
        """pane: its id."""
        super().__init__(id=pane, classes="pane")
        self._is_behind = False
        """Whether something else is to be looked at than what was read last."""
        self._rest: asyncio.TimerHandle | None = None

    def looks_at(self, state: ScreenState) -> object:
        """What decides what is on view: an answer for something else is dropped."""
        return state.trace, state.cursor

    def reading(self, state: ScreenState) -> Callable[[], Value] | None:
        """The work that reads it, done in a thread; None where there is nothing to read."""
        raise NotImplementedError

    def show(self, value: Value) -> None:
        """Show what was read."""
        raise NotImplementedError

    def copied(self) -> str:
        """The line or cell that the user is at, in words; empty where there is none."""
        return ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only an empty pane can be filled."""
        return action != "fill" or bool(self.filled_by and self.has_class("-empty"))

    def action_fill(self) -> None:
        """Go on to the next record that there is something to show of."""
        self.post_message(FillAsked(self.filled_by))

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        """Read again what is looked at now, or more of it once the run has come further."""
        if self.is_mounted and (state.frontier != old.frontier or self.looks_at(state) != self.looks_at(old)):
            self.look()

    def look(self) -> None:
        """Have it read: at once where it is on view, else once the keys rest, or it comes on view."""
        self._is_behind = True
        if self.display:
            self.catch_up()
        if self._rest is not None:
            self._rest.cancel()
        self._rest = asyncio.get_running_loop().call_later(REST, self.call_later, self._at_rest)

    def _at_rest(self) -> None:
        self.catch_up()
        if self.display and self.reads_ahead:
            # In a long recording the next layer may be far.
            work, trace = partial(beside, self.state), lambda: self.state.trace
            read_in_background(self, f"{self.id}, beside", work, self.read_ahead, trace)

    def read_ahead(self, indices: Sequence[int]) -> None:
        """The keys rest: have read in a thread what the next one asks for, if it leads to one of these records."""

    def catch_up(self) -> None:
        """Read what isn't read yet."""
        if self._is_behind:
            self._is_behind = False
            self.read()

    def on_show(self) -> None:
        self.catch_up()

    def read(self) -> None:
        """Read what is looked at now."""
        work = self.reading(self.state)
        if work is not None:
            group, is_seen = self.id or "", self.display
            read_in_background(self, group, work, self.show, self._looks_at_now, holds_paint=is_seen)

    def _looks_at_now(self) -> object:
        return self.looks_at(self.state)
