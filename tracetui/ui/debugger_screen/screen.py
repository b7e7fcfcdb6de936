"""The debugger: every command has its handler in one of the screen's parts, over one state that all panes show."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import Reactive, reactive
from textual.widget import Widget

from tracetui.debugger.driver import Driver
from tracetui.debugger.home.tour import LEAVES, PROMPT_GIVEN
from tracetui.debugger.known_places import KnownPlaces
from tracetui.debugger.readings.experts import has_experts
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.ui.debugger_screen.arrangement import Arrangement
from tracetui.ui.debugger_screen.edits import EditActions
from tracetui.ui.debugger_screen.events import SessionEvents
from tracetui.ui.debugger_screen.files import FileActions
from tracetui.ui.debugger_screen.find import ModuleSearch
from tracetui.ui.debugger_screen.health import HealthActions
from tracetui.ui.debugger_screen.help import HelpActions
from tracetui.ui.debugger_screen.layout import WidgetLayout
from tracetui.ui.debugger_screen.looks import LookActions
from tracetui.ui.debugger_screen.memory import SessionMemory
from tracetui.ui.debugger_screen.questions import LineQuestions
from tracetui.ui.debugger_screen.ranks import RankActions
from tracetui.ui.debugger_screen.runs import RunActions
from tracetui.ui.debugger_screen.screen_host import ScreenHost
from tracetui.ui.debugger_screen.sizes.actions import SizeActions
from tracetui.ui.debugger_screen.sizes.divider import Divider
from tracetui.ui.debugger_screen.sizes.pane_grid import PaneGrid
from tracetui.ui.debugger_screen.sizes.strip import RunStrip
from tracetui.ui.debugger_screen.steps import StepActions
from tracetui.ui.debugger_screen.stops import StopActions
from tracetui.ui.debugger_screen.tab_line import TabLine
from tracetui.ui.keys.commands import bindings
from tracetui.ui.keys.unknown import UnknownKeys
from tracetui.ui.messages import (
    FillAsked,
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
from tracetui.ui.panes.attention.head_wall import HeadPicked
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.experts.pane import ExpertsPane
from tracetui.ui.panes.log.pane import LogPane
from tracetui.ui.panes.modules.find_bar import FindBar, FindInput
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.modules.watch_list import WatchList
from tracetui.ui.panes.tensor.pane import TensorPane
from tracetui.ui.sized_screen import SizedScreen
from tracetui.ui.widgets.header import Header
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.key_bar import KeyBar
from tracetui.ui.widgets.prompt_bar import PromptBar
from tracetui.ui.widgets.step_lines import StepLines
from tracetui.ui.widgets.token_strip import TokenStrip
from tracetui.ui.widgets.too_small import SMALLEST, TooSmall
from tracetui.ui.widgets.tour_card import TourCard

NOTE_SECONDS = 1.0
"""How long what was set may be on the screen only."""


class DebuggerScreen(SizedScreen):
    """Tree and panes, arranged by the stylesheet for three widths; what keys do stands in the parts."""

    AUTO_FOCUS = "#prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (80, "-narrow"), (100, "-medium"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tight"), (20, "-short"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)
    focused = Reactive[Widget | None](None, repaint=False)  # What it goes from and to repaints itself.

    def __init__(self, page: StartPage, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._compositor, self._page, self._keymap_shown = PartCompositor(), page, keymap
        self._tree, self._watches = ModuleList(), WatchList()
        self._find_bar = FindBar(self._tree.numbers.heading)
        self._prompt_bar, self._keys = PromptBar(page), KeyBar(keymap, bool(page.recording))
        self._tour, self._unknown = TourCard(keymap), UnknownKeys()
        self.arrangement = Arrangement(self, page, lambda: self.host.forget_remark())
        self._log_pane, self._experts = self.arrangement.pane(LogPane), self.arrangement.pane(ExpertsPane)
        self.host = ScreenHost(self, Driver(page.stops, page.edits, bool(page.recording)), self._log_pane)
        self._make_parts()

    def _make_parts(self) -> None:
        """Each is given what it needs, and nothing of the screen."""
        host, page, panes, tree = self.host, self._page, self.arrangement, self._tree
        attention = panes.pane(AttentionPane)
        self.questions = LineQuestions(KnownPlaces(page.known), lambda: host.state)
        self.steps = StepActions(host, tree, self.questions, self._block_beside)
        self.stops = StopActions(host, tree, self._watches, self.steps, self.questions)
        self.health = HealthActions(host, self._show_cell)
        self.edits = EditActions(host, tree, self.questions, page.recording, self._keymap_shown)
        self.runs = RunActions(host, page, panes, self._prompt_bar, host.once_at_rest)
        self.looks = LookActions(host, panes, panes.pane(TensorPane), attention, self._experts)
        self.files = FileActions(host, page, self._keymap_shown, panes.copied)
        self.search = ModuleSearch(self, panes, self._find_bar, tree, host.show)
        self.heard = SessionEvents(
            host, self._log_pane, panes, self.runs, self.stops, self.edits, self.health, self.looks
        )
        self.ranks = RankActions(host, self.heard.hear)
        self.sizes = SizeActions(self, panes, tree, host.show)
        self.layout_kept = WidgetLayout(panes, tree, self._find_bar, attention, self.sizes)
        self.memory = SessionMemory(host, page, self._watches, self._prompt_bar, self.runs, self.layout_kept)
        host.followers.append(self.stops.follow)
        parts = (self.steps, self.stops, self.health, self.edits, self.runs, self.looks, self.ranks, self.files)
        every = (*parts, self.search, panes, self.sizes, HelpActions(host, lambda: panes.explained, self._keymap_shown))
        self.handlers = {id_: handler for part in every for id_, handler in part.handlers.items()}

    def compose(self) -> ComposeResult:
        state = DebuggerScreen.state
        with Vertical(id="all"):
            yield Header(self._page).data_bind(state)
            yield TokenStrip().data_bind(state)
            with Horizontal(id="body"):
                with Vertical(id="rail"):
                    yield self._find_bar.data_bind(state)
                    yield self._tree.data_bind(state)
                    yield self._watches.data_bind(state)
                yield Divider("rail-divider", True, partial(self.sizes.drag, "rail"))
                with Vertical(id="main"):
                    yield TabLine()
                    yield PaneGrid(tuple(self.arrangement.widgets.values()), self.sizes.drag).data_bind(state)
            yield Divider("strip-divider", False, partial(self.sizes.drag, "strip"))
            yield RunStrip().data_bind(state)
            if self._page.tour:
                yield self._tour.data_bind(state)
            yield StepLines(self.host.step_bar).data_bind(state)
            yield self._prompt_bar.data_bind(state)
            yield self._keys
        yield TooSmall()

    def on_mount(self) -> None:
        self.layout_kept.hold(self.query(Heatmap))
        self.memory.begin(self._log_pane.add)
        if self.memory.keeps:
            self.set_interval(NOTE_SECONDS, self.memory.keep)
        self.host.log_early()
        self.watch(self._log_pane, "unread", lambda unread: self.query_one(TabLine).set_unread(unread))
        if self._page.begins:
            # Before any key is heard: none is for the prompt.
            self.arrangement.to_front()
        self.runs.begin()
        self.arrangement.show_keys()
        self.arrangement.show_front()
        self.app.theme_changed_signal.subscribe(self, self._use_theme)
        self._use_theme()

    def _use_theme(self, _: object = None) -> None:
        if (palettes := getattr(self.app, "palettes", None)) is not None:
            for heatmap in self.query(Heatmap):
                heatmap.palettes = palettes()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys rest while a line is typed."""
        return not (action == "command" and self.arrangement.typing)

    def action_command(self, id_: str, *arguments: object) -> None:
        """Do what a command does."""
        self.handlers[id_](*arguments)
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
        """A batch has keys of its own, and a model with experts room for them beside the other panes."""
        if self.is_mounted:
            self._keys.rows = len(state.trace.tokens)
        if state.outline is not old.outline or state.trace is not old.trace:
            self.arrangement.route(has_experts(state.outline, state.trace))

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
        return self.memory.note_down()

    def close(self, timeout: float) -> bool:
        """Keep what was noted down last, and end the session; may take `timeout` seconds."""
        self.memory.write()
        return self.host.driver.close(timeout)

    @on(SessionOpened)
    def _opened(self, message: SessionOpened) -> None:
        self.runs.opened(message.session)

    @on(SessionEvent)
    def _heard(self, message: SessionEvent) -> None:
        self.memory.hear(message.event, self.call_later)
        self.heard.hear(message.event)

    @on(Jump)
    def _jump(self, message: Jump) -> None:
        self.steps.to(message.index)

    @on(FillAsked)
    def _fill(self, message: FillAsked) -> None:
        self.steps.fill(message.role)

    @on(JumpToModule)
    def _jump_to_module(self, message: JumpToModule) -> None:
        self.steps.to_module(message.path)

    @on(TokenChosen)
    def _choose_token(self, message: TokenChosen) -> None:
        self.looks.token(message.position - self.state.token, message.origin)

    @on(HeadPicked)
    def _pick_head(self, message: HeadPicked) -> None:
        self.looks.pick_head(message.head, message.record)

    @on(PromptGiven)
    def _run(self, message: PromptGiven) -> None:
        self.runs.give(message.prompt)
        self._tour.hear(PROMPT_GIVEN)

    @on(PromptTyped)
    def _look_ahead(self) -> None:
        self.runs.look_ahead()

    @on(PromptLeft)
    def _leave_prompt(self) -> None:
        self.arrangement.to_front()
        self._tour.hear(LEAVES)

    @on(FindBar.Typed)
    def _show_match(self, message: FindBar.Typed) -> None:
        self.search.show_match(message.text)

    @on(FindBar.FindAsked)
    def _find(self, message: FindBar.FindAsked) -> None:
        self.search.find(message.text)

    @on(FindInput.Further)
    def _find_further(self, message: FindInput.Further) -> None:
        self.search.further(message.by)

    @on(FindInput.Left)
    def _close_find(self) -> None:
        self.search.close()

    @on(Said)
    def _say(self, message: Said) -> None:
        self.host.tell(message.text, message.level)

    def _block_beside(self, by: int) -> int | None:
        """With the experts in front, the record of the next layer's choice or of the one before."""
        return self._experts.neighbour(by) if self.front == "experts" else None

    def _show_cell(self, row: int, column: int) -> None:
        self.arrangement.pane(TensorPane).go_to(row, column)
