"""Which of the diff's panes is in front, and which side's heatmap where there is room for one alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from textual.screen import Screen

from tracetui.debugger.readings.diff import LETTERS
from tracetui.ui.debugger_screen.sizes.divider import Divider

FRONTS = ("finding", "values", "maps")
MEDIUM, WIDE = 100, 160
_STEP, _LEAST = 4, 24
"""Columns by which a key moves the divider, and that the tree and the panes keep at least."""


class DiffArrangement:
    """The stylesheet does the rest, by classes of the screen."""

    def __init__(self, screen: Screen[None], changed: Callable[[], None]) -> None:
        """changed: called when another pane has come to the front."""
        self._screen = screen
        self._changed = changed
        self.front = "values"
        self.divider = Divider("diff-divider", is_upright=True, drag=lambda column, line: self.move_to(column))
        self._side = 2

    @property
    def handlers(self) -> Mapping[str, Callable[[], None]]:
        return {
            "diff_swap": self.next_side,
            "pane_modules": partial(self.go_to, "tree"),
            "pane_tensor": partial(self.go_to, "finding"),
            "diff_values": partial(self.go_to, "values"),
            "diff_maps": partial(self.go_to, "maps"),
            "maximise": self.toggle_room,
            "divider_left": partial(self.widen, -_STEP),
            "divider_right": partial(self.widen, _STEP),
        }

    @property
    def draws(self) -> bool:
        """Whether heatmaps are in sight."""
        return self.front == "maps" or self._screen.app.size.width >= WIDE

    def next_side(self) -> None:
        self._side = (self._side + 1) % len(LETTERS)
        self._bring("maps")

    def go_to(self, pane: str) -> None:
        """Bring a pane to the front and give it the keys."""
        self._bring(pane)
        focus = {"tree": "#tree", "finding": "#finding", "values": "#diff-values", "maps": f"#diff-map-{self._side}"}
        self._screen.set_focus(self._screen.query_one(focus[pane]))

    def _bring(self, pane: str) -> None:
        if pane in FRONTS:
            self.front = pane
            self.show()
            self._changed()

    def show(self) -> None:
        for front in FRONTS:
            self._screen.set_class(front == self.front, f"-front-{front}")
        for place in range(len(LETTERS)):
            self._screen.set_class(place == self._side, f"-side-{place}")

    def toggle_room(self) -> None:
        """All room for the panes, or the tree again."""
        self._screen.toggle_class("-maximised")

    def widen(self, by: int) -> None:
        """Give the tree so many columns more."""
        self.move_to(self._screen.query_one("#tree").outer_size.width + by)

    def move_to(self, column: int) -> None:
        """Put the divider at a column of the screen."""
        width = max(_LEAST, min(column, self._screen.size.width - _LEAST))
        self._screen.query_one("#tree").styles.width = width

    def give_back(self) -> bool:
        """The tree again, if the panes have all room; whether they had."""
        had = self._screen.has_class("-maximised")
        self._screen.remove_class("-maximised")
        return had
