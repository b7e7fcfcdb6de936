"""The screen starts as it was left last time, and what to leave for the next is noted down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from tracetui.debugger.finding import finding_after
from tracetui.debugger.log.level import Level
from tracetui.debugger.memory.note import ScreenLayout, SessionNote
from tracetui.debugger.session import Event, Opened, Prepared, Started
from tracetui.debugger.start_page import StartPage
from tracetui.expr.watch import Watch
from tracetui.recipe import Prompts
from tracetui.ui.debugger_screen.host import Host, TypedPrompt
from tracetui.ui.debugger_screen.runs import RunActions


class WatchedList(Protocol):
    """The list of watches."""

    watches: tuple[Watch, ...]

    def toggle(self, watch: Watch) -> bool:
        """Add a watch, or take it away if it stands already."""


class Arrangeable(Protocol):
    """The parts of the screen whose layout is remembered. Can be asked while the screen is taken down."""

    def look_as(self, layout: ScreenLayout) -> None:
        """Restore scores and colours, at the start."""

    def unfold_as(self, layout: ScreenLayout) -> None:
        """Restore the tree's open lines, once there is a tree."""

    def bring_as(self, layout: ScreenLayout) -> None:
        """Restore the pane in front, unless the user has gone to another one already."""

    def now(self) -> ScreenLayout:
        """The present layout."""


class SessionMemory:
    """Writes nothing itself: a keeper does, if there is one."""

    def __init__(
        self,
        host: Host,
        page: StartPage,
        watches: WatchedList,
        line: TypedPrompt,
        runs: RunActions,
        layout: Arrangeable,
    ) -> None:
        self._host = host
        self._page = page
        self._watches = watches
        self._line = line
        self._runs = runs
        self._layout = layout
        self._last = page.recalled.note
        self._keeper = page.recalled.keeper
        self._arranged = self._unfolded = self._begun = False
        self._finding = self._last.finding
        """What stood out in the last run."""

    @property
    def keeps(self) -> bool:
        """Whether anything is remembered."""
        return self._keeper is not None

    def begin(self, note: Callable[[str], None]) -> None:
        """What needs no model comes back, and is said; `note` leaves a line in the log."""
        restored = self._page.recalled
        self._begun = True
        for watch in self._last.watches:
            self._watches.toggle(watch)
        self._layout.look_as(self._last.layout)
        for remark in restored.remarks:
            self._host.say(remark, Level.WARNING)
        if restored.told and self._page.recording:
            # There is no first screen that could tell it.
            self._host.say(restored.told)
        elif restored.told:
            note(restored.told)

    def hear(self, event: Event, soon: Callable[[Callable[[], None]], object]) -> None:
        """The tree as it was left once there is one, and the panes once there is something in them to look at.

        soon: calls a function once the event has been heard by all.
        """
        self._finding = finding_after(self._finding, event, self._host.state.trace)
        if isinstance(event, Prepared | Opened) and not self._unfolded:
            soon(self._unfold)
        if isinstance(event, Started | Opened) and not self._arranged:
            self._arranged = True
            self._layout.bring_as(self._last.layout)

    def _unfold(self) -> None:
        self._unfolded = True
        self._layout.unfold_as(self._last.layout)

    def note_down(self) -> bool:
        """Have the keeper know what is set now; whether that has to be written."""
        return self._begun and self._keeper is not None and self._keeper.want(self._note())

    def keep(self) -> None:
        """Note it down and have it written in the background; why it can't be is said once."""
        if self._keeper is not None and self.note_down():
            self._host.read("remember", self._keeper.write, self._host.say)

    def write(self) -> None:
        """Write what was noted down last; may take as long as a disk does."""
        if self._keeper is not None:
            self._keeper.write()

    def _note(self) -> SessionNote:
        state = self._host.state
        return replace(
            self._last,
            stops=state.stops.stops,
            watches=self._watches.watches,
            edits=tuple(replace(edit, on=True) for edit in state.edits),
            prompts=self._last.prompts if self._page.recording else self._prompts(),
            earlier=self._line.earlier,
            more=self._runs.more,
            layout=self._layout_now(),
            finding=self._finding,
        )

    def _prompts(self) -> Prompts | None:
        """What Enter would run; of an emptied line, what was run last."""
        prompts = self._runs.prompts
        if prompts.one_text and not prompts.text.strip():
            earlier = self._line.earlier
            prompts = prompts.typed(earlier[-1]) if earlier else self._page.prompts
        return None if prompts == self._page.recalled.own else prompts

    def _layout_now(self) -> ScreenLayout:
        """What had no time to come back stays as it was left."""
        last, now = self._last.layout, self._layout.now()
        return replace(
            now,
            front=now.front or ("" if self._arranged else last.front),
            maximised=now.maximised if self._arranged else last.maximised,
            opened=now.opened if self._unfolded else last.opened,
            names=now.names if self._unfolded else last.names,
        )
