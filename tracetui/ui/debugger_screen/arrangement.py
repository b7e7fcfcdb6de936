"""Which pane is in front, which hears the keys, and which has all the room."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tracetui.debugger.start_page import StartPage
from tracetui.ui.debugger_screen.host import Handlers
from tracetui.ui.panes.modules.find_bar import FindBar
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.pane import HAS_KEYS, ReadingPane
from tracetui.ui.panes.tab_line import TabLine
from tracetui.ui.panes.table import MODULES, PANES
from tracetui.ui.panes.tensor.welcome import WelcomePane
from tracetui.ui.widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from tracetui.ui.panes.attention.pane import AttentionPane
    from tracetui.ui.panes.experts.pane import ExpertsPane
    from tracetui.ui.panes.log.pane import LogPane
    from tracetui.ui.panes.tensor.pane import TensorPane

_HEARS = {pane.id: pane.hears for pane in (MODULES, *PANES)}


class Arrangement:
    """The stylesheet does the rest, by classes of the screen and of its panes."""

    def __init__(self, screen: Screen[None], page: StartPage, forget_remark: Callable[[], None]) -> None:
        """forget_remark: clears the remark shown for the last pane."""
        self._screen = screen
        self._forget_remark = forget_remark
        self._routes = False
        self.room_given: Callable[[], None] = lambda: None
        """Called when another pane has all the room, or none has any more."""
        self.front = PANES[0].id
        self._before_timeline: Widget | None = None
        """What had the keys before the timeline got them."""
        self._page = page
        self.widgets: dict[str, Widget] = {self.front: WelcomePane(self.front, page)}
        """By the panes' ids: until the first paint only what stands in front."""

    def make_panes(self) -> None:
        """All of them, which takes their modules."""
        self.widgets = {pane.id: pane.make(self._page) for pane in PANES}

    @property
    def tensor(self) -> TensorPane:
        return cast("TensorPane", self.widgets["tensor"])

    @property
    def attention(self) -> AttentionPane:
        return cast("AttentionPane", self.widgets["attention"])

    @property
    def experts(self) -> ExpertsPane:
        return cast("ExpertsPane", self.widgets["experts"])

    @property
    def log(self) -> LogPane:
        return cast("LogPane", self.widgets["log"])

    @property
    def handlers(self) -> Handlers:
        panes = {f"pane_{pane}": partial(self.go_to, pane) for pane in _HEARS}
        return {**panes, "timeline": self.to_timeline, "maximise": self.toggle_room}

    @property
    def typing(self) -> bool:
        return isinstance(self._screen.focused, Input)

    @property
    def explained(self) -> str:
        """What help is about: what hears the keys, else the pane in front."""
        focused = self._screen.focused
        if isinstance(focused, ModuleList):
            return MODULES.id
        return "timeline" if focused is not None and focused.id == "timeline" else self.front

    @property
    def maximised(self) -> str:
        if self._screen.has_class("-rail-maximised"):
            return "tree"
        return "pane" if self._screen.has_class("-maximised") else ""

    def bring(self, pane: str) -> None:
        self.front = pane
        if self._screen.is_mounted:
            self.show_front()

    def _mark(self, **marks: str) -> None:
        """Give each mark to the one pane it names; only its own styles depend on it, and not those of what it holds."""
        marked_otherwise = []
        for pane, widget in self.widgets.items():
            before = widget.classes
            for mark, marked in marks.items():
                widget.set_class(pane == marked, f"-{mark}", update=False)
            if widget.classes != before:
                marked_otherwise.append(widget)
        self._screen.app.stylesheet.update_nodes(marked_otherwise, animate=True)

    def show_front(self) -> None:
        self._mark(front=self.front)
        if isinstance(front := self.widgets[self.front], ReadingPane):
            front.catch_up()
        self._screen.query_one(TabLine).front = self.front
        self._make_room()

    def route(self, routes: bool) -> None:
        """Whether the model has experts: there is room for them beside the other panes then."""
        self._routes = routes
        self._make_room()

    def _make_room(self) -> None:
        self._screen.set_class(self._routes or self.front == "experts", "-experts")
        self.room_given()

    @property
    def front_has_keys(self) -> bool:
        """Whether the pane in front hears the keys."""
        around = self._screen.focused.ancestors_with_self if self._screen.focused else ()
        return self.front in {node.id for node in around}

    def go_to(self, pane: str) -> None:
        """Bring a pane to the front and give it the keys."""
        self._forget_remark()
        self._screen.set_class(self._screen.has_class("-maximised") and pane == MODULES.id, "-rail-maximised")
        self.room_given()
        if pane != MODULES.id:
            self._mark(front=pane, keys=pane)
            self.bring(pane)
        self._give_keys(pane)

    def to_front(self) -> None:
        self._give_keys(self.front)

    def to_prompt(self) -> None:
        self._screen.set_focus(self._screen.query_one("#prompt"))

    def to_timeline(self) -> None:
        self._forget_remark()
        if not self._at_timeline:
            self._before_timeline = self._screen.focused
        self._screen.set_focus(self._screen.query_one("#timeline"))

    def leave_timeline(self) -> None:
        """Give the keys back to what had them before, if the timeline has them."""
        if self._at_timeline and self._before_timeline is not None and self._before_timeline.is_on_screen:
            self._screen.set_focus(self._before_timeline)
        elif self._at_timeline:
            self.to_front()

    @property
    def _at_timeline(self) -> bool:
        return self._screen.focused is not None and self._screen.focused.id == "timeline"

    def _give_keys(self, pane: str) -> None:
        around = self.widgets.get(pane, self._screen)
        widgets = [
            widget
            for kind in _HEARS[pane]
            for widget in self._screen.query(kind)
            if around in widget.ancestors_with_self
        ]
        self._screen.set_focus(next((widget for widget in widgets if widget.display), widgets[0]))
        # At once, so that one paint shows it: the screen hears of the new focus after the next one.
        self.show_keys()

    def give_room(self, maximised: str) -> None:
        self._screen.set_class(bool(maximised), "-maximised")
        self._screen.set_class(maximised == "tree", "-rail-maximised")
        self.room_given()

    def toggle_room(self) -> None:
        """All room for the pane with the keys, or for the one in front; again gives it back."""
        tree = isinstance(self._screen.focused, ModuleList)
        self.give_room("" if self._screen.has_class("-maximised") else "tree" if tree else "pane")

    def focused(self, widget: Widget) -> None:
        """The pane that gets the focus comes to the front."""
        for node in widget.ancestors_with_self:
            if node.id in self.widgets:
                self.bring(node.id)
        self.show_keys()

    def show_keys(self) -> None:
        """Mark the pane that hears the keys."""
        screen = self._screen
        screen.query_one(KeyBar).typing = self.typing
        around = {node.id for node in screen.focused.ancestors_with_self} if screen.focused else set()
        screen.query_one(TabLine).has_keys = self.front in around
        screen.query_one(FindBar).give_keys(MODULES.id in around)
        self._mark(keys=next((pane for pane in self.widgets if pane in around), ""))
        for pane in PANES:
            if (widget := self.widgets.get(pane.id)) is None:
                continue
            title = f"{HAS_KEYS if pane.id in around else ''}{pane.key} {pane.title}"
            if widget.border_title != title:
                widget.border_title = title

    def copied(self) -> str:
        """Of the pane in front, or of the tensor where that has nothing of its own."""
        widget = self.widgets[self.front]
        first = self.widgets[PANES[0].id]
        reading = widget if isinstance(widget, ReadingPane) else first
        return reading.copied() if isinstance(reading, ReadingPane) else ""
