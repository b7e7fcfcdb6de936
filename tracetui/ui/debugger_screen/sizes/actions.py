"""Where the dividers stand: dragged, moved by keys, set by a preset, remembered, and within what the screen has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from textual.screen import Screen
from textual.widget import Widget

from tracetui.debugger.memory.note import THOUSAND, PaneSizes
from tracetui.ui.debugger_screen.arrangement import Arrangement
from tracetui.ui.debugger_screen.host import Handlers
from tracetui.ui.debugger_screen.sizes.limits import between, cells_of, shares, thousandths
from tracetui.ui.debugger_screen.sizes.presets import PRESETS, STANDARD, LayoutPreset
from tracetui.ui.panes.modules.pane import ModuleList

_STEP = 2
"""Cells by which a key moves a divider sideways."""
LEAST_RAIL, LEAST_MAIN = 16, 36
LEAST_ABOVE = 20
"""Lines that the strip leaves."""
_GRID = {"columns": (200, 800), "rows": (200, 850), "experts": (200, 700)}
"""The least and the most of each size of the grid."""


class SizeActions:
    """The stylesheet's own sizes hold wherever nothing was moved."""

    def __init__(self, screen: Screen[None], panes: Arrangement, tree: ModuleList, show: Callable[[str], None]) -> None:
        self._screen = screen
        self._panes = panes
        self._tree = tree
        self._show = show
        self._preset = STANDARD
        self.sizes = PaneSizes()
        panes.room_given = self.apply

    @property
    def handlers(self) -> Handlers:
        return {
            "divider_left": partial(self.move, -1, 0),
            "divider_right": partial(self.move, 1, 0),
            "divider_up": partial(self.move, 0, -1),
            "divider_down": partial(self.move, 0, 1),
            "next_preset": self.next_preset,
            "reset_layout": self.reset,
        }

    def use(self, sizes: PaneSizes) -> None:
        """Have the dividers stand so, as far as there is room."""
        self.sizes = sizes
        self.apply()

    def next_preset(self) -> None:
        """The next arrangement; that for experts only where there are some."""
        has_experts = self._screen.has_class("-experts") or self._panes.front == "experts"
        presets = [preset for preset in PRESETS if preset.front != "experts" or has_experts]
        after = presets.index(self._preset) + 1 if self._preset in presets else 0
        self._arrange(presets[after % len(presets)])
        self._show(f"layout {self._preset.name}: {self._preset.purpose}")

    def reset(self) -> None:
        """As it was at first."""
        self._arrange(STANDARD)
        self._show("the layout is as it was at first")

    def _arrange(self, preset: LayoutPreset) -> None:
        self._preset = preset
        self._panes.give_room("")
        self._tree.numbers.choose(preset.numbers)
        self._panes.go_to(preset.front)
        self.use(preset.sizes)

    def move(self, right: int, down: int) -> None:
        """The divider beside what has the keys."""
        if self._panes.maximised:
            self._show("one pane has all the room; z gives it back")
            return
        # By what was asked for, not by what is on view: several presses may come before the next picture.
        if self._is_wide and self._panes.front_has_keys:
            self._move_in_grid(right, down)
        elif right:
            rail = self._screen.query_one("#rail").size.width if self.sizes.rail is None else self._rail
            self.drag("rail", rail + _STEP * right, 0)
        elif not self._has_strip:
            self._show("there is no line above or below that could be moved")
        else:
            bottom = self._screen.query_one("#steps").region.y
            strip = self._screen.query_one("#strip").size.height if self.sizes.strip is None else self._strip
            self.drag("strip", 0, bottom - 1 - strip + down)

    def _move_in_grid(self, right: int, down: int) -> None:
        name = "rows" if down else "experts" if self._panes.front == "experts" else "columns"
        if getattr(self.sizes, name) is None:
            edge = self._edge(name) if right else self._screen.query_one("#logits").region.y
            self.drag(name, edge + _STEP * right, edge + down)
            return
        panes = self._screen.query_one("#panes").region
        by = down * thousandths(1, panes.height) or right * thousandths(_STEP, panes.width)
        least, most = _GRID[name]
        value = between(getattr(self.sizes, name) + (-by if name == "experts" else by), least, most)
        self.use(replace(self.sizes, **{name: value}))

    @property
    def _rail(self) -> int:
        """Cells of the tree that were asked for, as far as there is room."""
        width = self._screen.size.width
        return between(cells_of(self.sizes.rail, width), LEAST_RAIL, width - LEAST_MAIN)

    @property
    def _strip(self) -> int:
        height = self._screen.size.height
        return between(cells_of(self.sizes.strip, height), 0, height - LEAST_ABOVE)

    def _edge(self, gap: str) -> int:
        """The column of the screen at which a gap of the grid is."""
        if gap == "experts":
            return self._screen.query_one("#experts").region.x - 1
        return self._screen.query_one("#tensor").region.right

    def drag(self, name: str, x: int, y: int) -> None:
        """A divider to a column or row of the screen."""
        width, height = self._screen.size
        panes = self._screen.query_one("#panes").region
        if name == "rail":
            value = thousandths(between(x, LEAST_RAIL, width - LEAST_MAIN), width)
        elif name == "strip":
            bottom = self._screen.query_one("#steps").region.y
            value = thousandths(between(bottom - y - 1, 0, height - LEAST_ABOVE), height)
        elif name == "rows":
            value = between(thousandths(y - panes.y, panes.height), *_GRID[name])
        elif name == "experts":
            value = between(thousandths(panes.right - x - 1, panes.width), *_GRID[name])
        else:
            experts = self._screen.query_one("#experts").region.width if self._screen.has_class("-experts") else 0
            value = between(thousandths(x - panes.x, panes.width - experts), *_GRID[name])
        if value != getattr(self.sizes, name):
            self.use(replace(self.sizes, **{name: value}))

    @property
    def _is_wide(self) -> bool:
        return self._screen.has_class("-wide")

    @property
    def _has_strip(self) -> bool:
        return self._screen.has_class("-tall")

    def apply(self) -> None:
        """Sizes for the screen as it is now; one that is smaller than it was gets less of all."""
        if not self._screen.is_mounted:
            return
        sizes = self.sizes
        tree_alone = self._screen.has_class("-rail-maximised")
        _set(self._screen.query_one("#rail"), "width", None if sizes.rail is None or tree_alone else self._rail)
        line, strip = self._screen.query_one("#strip"), self._strip
        _set(line, "height", None if sizes.strip is None or not strip else strip)
        line.set_class(sizes.strip is not None and not strip, "-none")
        grid = self._screen.query_one("#panes")
        _set(grid, "grid_columns", shares(sizes, self._screen.has_class("-experts")) if self._is_wide else None)
        rows = None if sizes.rows is None else f"{sizes.rows}fr {THOUSAND - sizes.rows}fr"
        _set(grid, "grid_rows", rows if self._is_wide else None)


def _set(widget: Widget, name: str, value: int | str | None) -> None:
    """A size of a widget's own, or that of the stylesheet again."""
    if value is not None:
        setattr(widget.styles, name, value)
    elif widget.styles.inline.has_rule(name):
        widget.styles.inline.clear_rule(name)
        widget.refresh(layout=True)
