"""The arrangement of the debugger's screen: which panes there are, which is in front, what has the focus."""

from __future__ import annotations

from collections.abc import Mapping

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tracetui.debugger.experts_view import has_experts
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.ui.messages import PromptLeft
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.experts.pane import ExpertsPane, LoadMap
from tracetui.ui.panes.log.pane import LogPane
from tracetui.ui.panes.logits.pane import LogitsPane
from tracetui.ui.panes.modules.find_bar import FindBar, FindInput
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.modules.watch_list import WatchList
from tracetui.ui.panes.tensor.pane import TensorPane
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.ui.widgets.header import Header
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.key_bar import KeyBar
from tracetui.ui.widgets.nearby import Nearby
from tracetui.ui.widgets.prompt_bar import PromptBar, PromptInput
from tracetui.ui.widgets.residual_line import ResidualLine
from tracetui.ui.widgets.step_bar import StepBar
from tracetui.ui.widgets.tab_line import HAS_KEYS, PANES, TabLine
from tracetui.ui.widgets.token_strip import TokenStrip
from tracetui.ui.widgets.too_small import SMALLEST, TooSmall

_FOCUS: Mapping[str, type[Widget]] = {
    "modules": ModuleList,
    "tensor": ValueGrid,
    "attention": Heatmap,
    "experts": LoadMap,
    "logits": LogitsPane,
    "log": LogPane,
}


class PanesScreen(Screen[None]):
    """Rail and panes, arranged by the stylesheet for three widths; one pane is in front."""

    AUTO_FOCUS = "#prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (80, "-narrow"), (100, "-medium"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tight"), (20, "-short"), (30, "-tall")]  # noqa: RUF012

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)
    front: reactive[str] = reactive("tensor", repaint=False)

    def __init__(self, offer: StartPage, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._offer = offer
        self._keymap_shown = keymap
        self._routes = False
        self._found_from = ""

    def compose(self) -> ComposeResult:
        state = PanesScreen.state
        with Vertical(id="all"):
            yield Header(self._offer).data_bind(state)
            yield TokenStrip().data_bind(state)
            with Horizontal(id="body"):
                with Vertical(id="rail"):
                    yield FindBar().data_bind(state)
                    yield ModuleList().data_bind(state)
                    yield WatchList().data_bind(state)
                with Vertical(id="main"):
                    yield TabLine()
                    with Widget(id="panes"):
                        yield TensorPane(self._offer).data_bind(state)
                        yield AttentionPane().data_bind(state)
                        yield ExpertsPane().data_bind(state)
                        yield LogitsPane().data_bind(state)
                        yield LogPane()
            with Horizontal(id="strip"):
                yield ResidualLine().data_bind(state)
                yield Nearby().data_bind(state)
            yield StepBar().data_bind(state)
            yield PromptBar(self._offer).data_bind(state)
            yield KeyBar(self._keymap_shown, bool(self._offer.recording))
        yield TooSmall()

    def on_mount(self) -> None:
        self._show_keys()
        self._show_front(self.front)
        self.app.theme_changed_signal.subscribe(self, self._use_theme)
        self._use_theme()

    def _use_theme(self, _: object = None) -> None:
        palettes = getattr(self.app, "palettes", None)
        if palettes is not None:
            for heatmap in self.query(Heatmap):
                heatmap.palettes = palettes()

    @property
    def typing(self) -> bool:
        """Whether keys are text now."""
        return isinstance(self.focused, Input)

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "-too-small")

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        """A batch has keys of its own, and a model with experts room for them beside the other panes."""
        if self.is_mounted:
            self.query_one(KeyBar).rows = len(state.trace.tokens)
        if state.outline is not old.outline or state.trace is not old.trace:
            self._routes = has_experts(state.outline, state.trace)
            self.set_class(self._routes or self.front == "experts", "-experts")

    def watch_front(self, front: str) -> None:
        if self.is_mounted:
            self._show_front(front)

    def _show_front(self, front: str) -> None:
        for pane, _, _ in PANES:
            self.query_one(f"#{pane}").set_class(pane == front, "-front")
        self.query_one(TabLine).front = front
        self.set_class(self._routes or front == "experts", "-experts")

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The pane that gets the focus comes to the front."""
        for node in event.widget.ancestors_with_self:
            if node.id and node.id != "modules" and node.id in _FOCUS:
                self.front = node.id
        self._show_keys()

    def on_descendant_blur(self) -> None:
        self._show_keys()

    def _show_keys(self) -> None:
        """Mark the pane that hears the keys."""
        self.query_one(KeyBar).typing = self.typing
        around = {node.id for node in self.focused.ancestors_with_self} if self.focused else set()
        self.query_one(TabLine).has_keys = self.front in around
        self.query_one(FindBar).give_keys("modules" in around)
        for pane, key, name in PANES:
            widget = self.query_one(f"#{pane}")
            widget.set_class(pane in around, "-keys")
            widget.border_title = f"{HAS_KEYS if pane in around else ''}{key} {name}"

    def action_pane(self, pane: str) -> None:
        """Bring a pane to the front and give it the keys; what was said to the last one goes."""
        self.query_one(StepBar).remark = ""
        self.set_class(self.has_class("-maximised") and pane == "modules", "-rail-maximised")
        if pane != "modules":
            self.front = pane
        self.set_focus(self.query_one(_FOCUS[pane]))

    def action_maximise(self) -> None:
        """All room for the pane with the keys, or for the one in front; again gives it back."""
        rail = isinstance(self.focused, ModuleList) and not self.has_class("-maximised")
        self.toggle_class("-maximised")
        self.set_class(rail, "-rail-maximised")

    def action_find(self) -> None:
        self.remove_class("-maximised", "-rail-maximised")
        modules = self.query_one(ModuleList)
        self._found_from, modules.finding = modules.chosen, True
        self.query_one(FindBar).open()

    def action_names(self) -> None:
        """Another implementation's names beside the tree's, the next one's, or none."""
        self.query_one(FindBar).name_layout(self.query_one(ModuleList).next_layout())

    def action_prompt(self) -> None:
        self.set_focus(self.query_one(PromptInput))

    @on(PromptLeft)
    def leave_prompt(self) -> None:
        """From the prompt to the pane in front."""
        self.set_focus(self.query_one(_FOCUS[self.front]))

    @on(FindBar.Typed)
    def _show_match(self, message: FindBar.Typed) -> None:
        """The tree's match while one still types."""
        self.query_one(ModuleList).find(message.text, self._found_from)

    @on(FindBar.FindAsked)
    def _find(self, message: FindBar.FindAsked) -> None:
        """To the tree's match, where Enter jumps to its record; without one the line stays to be changed."""
        if self.query_one(ModuleList).find(message.text, self._found_from) is None:
            self.app.bell()
        else:
            self._close_find()

    @on(FindInput.Left)
    def _close_find(self) -> None:
        self.query_one(FindBar).close()
        self.query_one(ModuleList).finding = False
        self.set_focus(self.query_one(ModuleList))
