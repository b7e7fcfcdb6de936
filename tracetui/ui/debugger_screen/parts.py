"""What the commands of the debugger's screen do: made once it has been painted, with the panes they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.app import App

from tracetui.debugger.known_places import KnownPlaces
from tracetui.debugger.readings.experts import has_experts
from tracetui.debugger.state import ScreenState
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
from tracetui.ui.debugger_screen.steps import StepActions
from tracetui.ui.debugger_screen.stops import StopActions
from tracetui.ui.painting.ahead import DrawnAhead
from tracetui.ui.panes.modules.watch_list import WatchList
from tracetui.ui.widgets.canvas import StateCanvas
from tracetui.ui.widgets.heatmap import Heatmap

if TYPE_CHECKING:
    from tracetui.ui.debugger_screen.screen import DebuggerScreen


class ScreenParts:
    """Each is given what it needs, and nothing of the screen."""

    def __init__(self, screen: DebuggerScreen) -> None:
        """Makes the panes too."""
        host, page, panes, tree, keymap = screen.host, screen.page, screen.arrangement, screen.modules, screen.keymap
        self._panes = panes
        self._maps: tuple[Heatmap, ...] = ()
        panes.make_panes()
        self.watches = WatchList()
        self.questions = LineQuestions(KnownPlaces(page.known), lambda: host.state)
        self.steps = StepActions(host, tree, self.questions, self._block_beside)
        self.stops = StopActions(host, tree, self.watches, self.steps, self.questions)
        self.health = HealthActions(host, panes.tensor.go_to)
        self.edits = EditActions(host, tree, self.questions, page.recording, keymap)
        self.runs = RunActions(host, page, panes, screen.prompt_bar, host.once_at_rest)
        self.looks = LookActions(host, panes, panes.tensor, panes.attention, panes.experts)
        self.files = FileActions(host, page, keymap, panes.copied)
        self.search = ModuleSearch(screen, panes, screen.find_bar, tree, host.show)
        self.heard = SessionEvents(host, panes.log, panes, self.runs, self.stops, self.edits, self.health, self.looks)
        self.ranks = RankActions(host, self.heard.hear)
        self.layout = WidgetLayout(panes, tree, screen.find_bar, panes.attention, screen.sizes)
        self.memory = SessionMemory(host, page, self.watches, screen.prompt_bar, self.runs, self.layout)
        self.ahead = DrawnAhead(screen, lambda: (*screen.query(StateCanvas), panes.tensor, panes.attention))
        host.followers += (self._follow, self.heard.notices.shown, self.ahead.follow)
        parts = (self.steps, self.stops, self.health, self.edits, self.runs, self.looks, self.ranks, self.files)
        every = (*parts, self.search, panes, screen.sizes, HelpActions(host, lambda: panes.explained, keymap))
        self.handlers = {id_: handler for part in every for id_, handler in part.handlers.items()}

    def hold_maps(self, screen: DebuggerScreen) -> None:
        """Know the panes' heatmaps, once they are there."""
        self._maps = tuple(screen.query(Heatmap))
        self.layout.hold(self._maps)
        self.use_theme(screen.app)

    def use_theme(self, app: App[Any]) -> None:
        if (palettes := getattr(app, "palettes", None)) is not None:
            for heatmap in self._maps:
                heatmap.palettes = palettes()

    def _follow(self, old: ScreenState, state: ScreenState) -> None:
        """A model with experts has room for them beside the other panes."""
        self.stops.follow(old, state)
        if state.outline is not old.outline or state.trace is not old.trace:
            self._panes.route(has_experts(state.outline, state.trace))

    def _block_beside(self, by: int) -> int | None:
        """With the experts in front, the record of the next layer's choice or of the one before."""
        return self._panes.experts.neighbour(by) if self._panes.front == "experts" else None
