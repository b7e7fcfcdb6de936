"""Searching the module tree, and other implementations' names beside it."""

from __future__ import annotations

from collections.abc import Callable

from textual.screen import Screen
from textual.widget import Widget

from tracetui.analysis.module_numbers import SortBy
from tracetui.text import visible
from tracetui.ui.debugger_screen.arrangement import Arrangement
from tracetui.ui.debugger_screen.host import Handlers
from tracetui.ui.panes.modules.find_bar import FindBar
from tracetui.ui.panes.modules.pane import ModuleList

_ORDERS = {
    SortBy.TREE: "modules in the order of the tree",
    SortBy.NORM: "modules by norm, the largest first",
    SortBy.GROWTH: "modules by growth over the layer before, the largest first",
    SortBy.BROKEN: "modules with NaN or infinities, the first first",
    SortBy.TIME: "modules by time, the longest first",
}


class ModuleSearch:
    """The line above the tree asks, the tree answers."""

    def __init__(
        self,
        screen: Screen[None],
        arrangement: Arrangement,
        bar: FindBar,
        tree: ModuleList,
        say: Callable[[str], None],
    ) -> None:
        """say: shows a remark."""
        self._screen = screen
        self._arrangement = arrangement
        self._bar = bar
        self._tree = tree
        self._say = say
        self._from = self._text = ""
        self._focused: Widget | None = None
        """What had the keys before."""

    @property
    def handlers(self) -> Handlers:
        return {
            "find": self.open,
            "names": self.next_names,
            "tree_numbers": self.toggle_numbers,
            "tree_sort": self.sort_further,
        }

    def open(self) -> None:
        self._arrangement.give_room("")
        self._from, self._tree.finding = self._tree.chosen, True
        self._focused = self._screen.focused
        self._bar.open()

    def show_match(self, text: str) -> None:
        """The tree's matches while one still types, and nothing beside them; the next one from where it began."""
        self._text = text
        self._tree.filter(text)
        self._show(self._tree.find(text, self._from))

    def further(self, by: int) -> None:
        """To the next match, or the one before."""
        self._show(self._tree.find(self._text, self._tree.chosen, by))

    def _show(self, path: str | None) -> None:
        hits = self._tree.matches(self._text)
        self._bar.count(hits.index(path) if path in hits else 0, len(hits))

    def find(self, text: str) -> None:
        """To the tree's match, where Enter jumps to its record; without one the line stays to be changed."""
        if text and not self._tree.matches(text):
            self._say(f"no module has “{visible(text, 60)}” in its path; Ctrl+O goes to records")
            self._screen.app.bell()
            return
        if self._tree.chosen not in self._tree.matches(text):
            self._tree.find(text, self._from)
        self.close()

    def leave(self) -> None:
        """End the search as if nobody had searched: the line where it was, and the keys with what had them."""
        self.close()
        self._tree.go(self._from)
        if self._focused is not None and self._focused.is_on_screen:
            self._screen.set_focus(self._focused)

    def close(self) -> None:
        self._bar.close()
        self._tree.finding = False
        self._tree.filter("")
        self._screen.set_focus(self._tree)

    def next_names(self) -> None:
        """Another implementation's names beside the tree's, the next one's, or none."""
        before = self._tree.layout_shown
        layout = self._tree.next_layout()
        self._bar.name_layout(layout)
        if layout == before:
            self._say("no other implementation's names of this model are known")

    def toggle_numbers(self) -> None:
        """The run's numbers in the tree, or what modules hold."""
        numbers = self._tree.numbers
        numbers.choose(not numbers.chosen)
        if not numbers.chosen and numbers.by is not SortBy.TREE:
            self._tree.sort_further(SortBy.TREE)
        remark = "the tree shows what the run did" if numbers.chosen else "the tree shows what modules hold"
        self._say(remark if self._tree.state.frontier else f"{remark} once it has run" * numbers.chosen)

    def sort_further(self) -> None:
        """The modules in the order of the next of the run's numbers, or of the tree."""
        if not self._tree.state.frontier:
            self._say("nothing has run that modules could be sorted by")
            return
        by = self._tree.sort_further()
        self._say(_ORDERS[by])
