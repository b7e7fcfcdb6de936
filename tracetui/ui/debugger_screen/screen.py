"""The debugger: every command has its handler in one of the screen's parts, over one state that all panes show."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import Reactive, reactive
from textual.screen import Screen
from textual.widget import Widget

from tracetui.debugger.driver import Driver
from tracetui.debugger.home.tour import LEAVES, PROMPT_GIVEN
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.formats.collector import collector_paused_for_good
from tracetui.ui.debugger_screen.arrangement import Arrangement
from tracetui.ui.debugger_screen.screen_host import ScreenHost
from tracetui.ui.debugger_screen.sizes.actions import SizeActions
from tracetui.ui.debugger_screen.sizes.divider import Divider
from tracetui.ui.debugger_screen.sizes.pane_grid import PaneGrid
from tracetui.ui.debugger_screen.sizes.strip import RunStrip
from tracetui.ui.keys.commands import bindings
from tracetui.ui.keys.unknown import UnknownKeys
from tracetui.ui.messages import (
    FillAsked,
    HeadPicked,
    Jump,
    JumpToModule,
    PromptGiven,
    PromptLeft,
    PromptTyped,
    Said,
    SessionEvent,
    SessionOpened,
    TokenChosen,
)
from tracetui.ui.painting.compositor import PartCompositor
from tracetui.ui.painting.later import mount_later
from tracetui.ui.painting.sized_screen import styled_once
from tracetui.ui.panes.modules.find_bar import FindBar, FindInput
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.tab_line import TabLine
from tracetui.ui.theme.following import follow_theme
from tracetui.ui.widgets.header import Header
from tracetui.ui.widgets.key_bar import KeyBar
from tracetui.ui.widgets.prompt_bar import PromptBar
from tracetui.ui.widgets.step_lines import StepLines
from tracetui.ui.widgets.token_strip import TokenStrip
from tracetui.ui.widgets.too_small import SMALLEST, TooSmall
from tracetui.ui.widgets.tour_card import TourCard

if TYPE_CHECKING:
    from tracetui.ui.debugger_screen.parts import ScreenParts

NOTE_SECONDS = 1.0
"""How long what was set may be on the screen only."""


class DebuggerScreen(Screen[None]):
    """Tree and panes, arranged by the stylesheet for three widths; what keys do stands in the parts."""

    AUTO_FOCUS = "#prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (80, "-narrow"), (100, "-medium"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tight"), (20, "-short"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]
    on_screen_resume = styled_once

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)
    focused = Reactive[Widget | None](None, repaint=False)  # What it goes from and to repaints itself.

    def __init__(self, page: StartPage, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._compositor = PartCompositor()
        self.page = page
        self.keymap = keymap
        """The keys that the user chose, by the ids of commands."""
        self.modules = ModuleList()
        self.find_bar = FindBar(self.modules.numbers)
        self.prompt_bar, self._keys = PromptBar(page), KeyBar(keymap, bool(page.recording))
        self._tour, self._unknown = TourCard(keymap), UnknownKeys()
        self.host = ScreenHost(self, Driver(page.stops, page.edits, bool(page.recording)))
        self.arrangement = Arrangement(self, page, self.host.forget_remark)
        self.sizes = SizeActions(self, self.arrangement, self.modules, self.host.show)
        self._parts: ScreenParts | None = None
        self._completing = False

    @property
    def is_at_rest(self) -> bool:
        """Whether it is mounted, and not being made whole."""
        return self.is_mounted and not self._completing

    @property
    def parts(self) -> ScreenParts:
        """What its commands do: they come once it has been painted, with the panes."""
        assert self._parts is not None
        return self._parts

    def compose(self) -> ComposeResult:
        state = DebuggerScreen.state
        with Vertical(id="all"):
            yield Header(self.page).data_bind(state)
            yield TokenStrip().data_bind(state)
            with Horizontal(id="body"):
                with Vertical(id="rail"):
                    yield self.find_bar.data_bind(state)
                    yield self.modules.data_bind(state)
                yield Divider("rail-divider", True, partial(self.sizes.drag, "rail"))
                with Vertical(id="main"):
                    yield TabLine()
                    yield PaneGrid(self.arrangement.widgets[self.front], self.sizes.drag).data_bind(state)
            yield Divider("strip-divider", False, partial(self.sizes.drag, "strip"))
            yield RunStrip().data_bind(state)
            if self.page.tour:
                yield self._tour.data_bind(state)
            yield StepLines(self.host.step_bar).data_bind(state)
            yield self.prompt_bar.data_bind(state)
            yield self._keys
        yield TooSmall()

    def on_mount(self) -> None:
        self.sizes.use(self.page.recalled.note.layout.sizes)
        self.arrangement.show_keys()
        self.arrangement.show_front()

    async def complete(self) -> None:
        """What the first paint doesn't show: the panes, the strip and the timeline, and what commands do."""
        self._completing = True
        with collector_paused_for_good():
            from tracetui.ui.debugger_screen.parts import ScreenParts

            parts = ScreenParts(self)
        with self.app.batch_update():
            await self.query_one(PaneGrid).show(tuple(self.arrangement.widgets.values()))
            await self.query_one(RunStrip).fill()
            await self.query_one(StepLines).fill()
            await mount_later(self, parts.watches, after=self.modules)
            if self.is_attached:
                self._begin(parts)
        self._completing = False

    def _begin(self, parts: ScreenParts) -> None:
        self._parts = parts
        log = self.arrangement.log
        parts.hold_maps(self)
        parts.memory.begin(log.add)
        if parts.memory.keeps:
            self.set_interval(NOTE_SECONDS, parts.memory.keep)
        self.host.log_early()
        self.watch(log, "unread", lambda unread: self.query_one(TabLine).set_unread(unread))
        if self.page.begins:
            # Before any key is heard: none is for the prompt.
            self.arrangement.to_front()
        parts.runs.begin()
        self.arrangement.show_keys()
        self.arrangement.show_front()
        follow_theme(self, lambda screen: screen.parts.use_theme(screen.app))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys rest while a line is typed."""
        return not (action == "command" and self.arrangement.typing)

    def action_command(self, id_: str, *arguments: object) -> None:
        """Do what a command does."""
        self.parts.handlers[id_](*arguments)
        self._tour.hear(id_)

    @property
    def front(self) -> str:
        """The id of the pane in front."""
        return self.arrangement.front

    @property
    def typing(self) -> bool:
        """Whether keys are text now."""
        return self.arrangement.typing

    def on_key(self, event: events.Key) -> None:
        """A key that nobody took."""
        known = not self.is_current or event.key in self.active_bindings
        if not known and not self.typing and (remark := self._unknown.remark(event.key)):
            self.host.show(remark)

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "-too-small")
        self.sizes.apply()

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        """A batch has keys of its own."""
        if self.is_mounted:
            self._keys.rows = len(state.trace.tokens)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.arrangement.focused(event.widget)

    def on_descendant_blur(self) -> None:
        self.arrangement.show_keys()

    def report(self, text: str) -> None:
        """Something went wrong beside the run."""
        self.host.report(text)

    def cancel_run(self) -> bool:
        """Cancel the run; False if there is none, or if it has been told already."""
        return self.host.driver.cancel()

    def note_down(self) -> bool:
        """Have what is set now be remembered; whether that has to be written. Nothing is written here."""
        return self._parts is not None and self._parts.memory.note_down()

    def close(self, timeout: float) -> bool:
        """Keep what was noted down last, and end the session; may take `timeout` seconds."""
        if self._parts is not None:
            self._parts.memory.write()
        return self.host.driver.close(timeout)

    @on(SessionOpened)
    def _opened(self, message: SessionOpened) -> None:
        self.parts.runs.opened(message.session)

    @on(SessionEvent)
    def _heard(self, message: SessionEvent) -> None:
        self.parts.memory.hear(message.event, self.call_later)
        self.parts.heard.hear(message.event)

    @on(Jump)
    def _jump(self, message: Jump) -> None:
        self.parts.steps.to(message.index)

    @on(FillAsked)
    def _fill(self, message: FillAsked) -> None:
        self.parts.steps.fill(message.role)

    @on(JumpToModule)
    def _jump_to_module(self, message: JumpToModule) -> None:
        self.parts.steps.to_module(message.path)

    @on(TokenChosen)
    def _choose_token(self, message: TokenChosen) -> None:
        self.parts.looks.token(message.position - self.state.token, message.origin)

    @on(HeadPicked)
    def _pick_head(self, message: HeadPicked) -> None:
        self.parts.looks.pick_head(message.head, message.record)

    @on(PromptGiven)
    def _run(self, message: PromptGiven) -> None:
        self.parts.runs.give(message.prompt)
        self._tour.hear(PROMPT_GIVEN)

    @on(PromptTyped)
    def _look_ahead(self) -> None:
        self.parts.runs.look_ahead()

    @on(PromptLeft)
    def _leave_prompt(self) -> None:
        self.arrangement.to_front()
        self._tour.hear(LEAVES)

    @on(FindBar.Typed)
    def _show_match(self, message: FindBar.Typed) -> None:
        self.parts.search.show_match(message.text)

    @on(FindBar.FindAsked)
    def _find(self, message: FindBar.FindAsked) -> None:
        self.parts.search.find(message.text)

    @on(FindInput.Further)
    def _find_further(self, message: FindInput.Further) -> None:
        self.parts.search.further(message.by)

    @on(FindInput.Left)
    def _close_find(self) -> None:
        self.parts.search.leave()

    @on(Said)
    def _say(self, message: Said) -> None:
        self.host.tell(message.text, message.level)
