"""Searching the module tree, and other implementations' names beside it."""

from __future__ import annotations

from textual.screen import Screen

from tracetui.ui.debugger_screen.arrangement import Arrangement
from tracetui.ui.debugger_screen.host import Handlers
from tracetui.ui.panes.modules.find_bar import FindBar
from tracetui.ui.panes.modules.pane import ModuleList


class ModuleSearch:
    """The line above the tree asks, the tree answers."""

    def __init__(self, screen: Screen[None], arrangement: Arrangement, bar: FindBar, tree: ModuleList) -> None:
        self._screen = screen
        self._arrangement = arrangement
        self._bar = bar
        self._tree = tree
        self._from = ""

    @property
    def handlers(self) -> Handlers:
        return {"find": self.open, "names": self.next_names}

    def open(self) -> None:
        self._arrangement.give_room("")
        self._from, self._tree.finding = self._tree.chosen, True
        self._bar.open()

    def show_match(self, text: str) -> None:
        """The tree's match while one still types."""
        self._tree.find(text, self._from)

    def find(self, text: str) -> None:
        """To the tree's match, where Enter jumps to its record; without one the line stays to be changed."""
        if self._tree.find(text, self._from) is None:
            self._screen.app.bell()
        else:
            self.close()

    def close(self) -> None:
        self._bar.close()
        self._tree.finding = False
        self._screen.set_focus(self._tree)

    def next_names(self) -> None:
        """Another implementation's names beside the tree's, the next one's, or none."""
        self._bar.name_layout(self._tree.next_layout())
