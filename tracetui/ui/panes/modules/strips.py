"""How a line of the module tree is drawn: its marks, its name, what it holds, and what the run did in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tracetui.debugger.module_rows import ModuleRow
from tracetui.debugger.state import ScreenState
from tracetui.ui.panes.modules.line import fitted
from tracetui.ui.panes.modules.marks import LineMarks
from tracetui.views.module_columns import cells_of, run_cells

if TYPE_CHECKING:
    from tracetui.ui.panes.modules.pane import ModuleList

COMPONENTS = frozenset({
    "modules--current",
    "modules--line",
    "modules--ran",
    "modules--waiting",
    "modules--quiet",
    "modules--mark",
    "modules--alarm",
})  # fmt: skip

_MOST_KEPT = 2000
"""Lines that were drawn."""


class LineStrips:
    """Of one tree, in its colours."""

    def __init__(self, tree: ModuleList) -> None:
        self._tree = tree
        self._marks = LineMarks()
        self._made: dict[str, tuple[tuple[object, ...], Strip]] = {}
        """By path what a line was made of, and the line."""

    def use(self, state: ScreenState) -> bool:
        """Have the marks be those of a state; whether any may be another one now."""
        return self._marks.use(state)

    def forget(self) -> None:
        """Colours are others."""
        self._made = {}

    def strip(self, row: ModuleRow, plain: Style, is_current: bool, chosen: bool) -> Strip:
        """plain: what all of it stands on; chosen: whether the user is on it."""
        tree, numbers = self._tree, self._tree.numbers
        mark = self._mark(row, is_current)
        made_of = (
            *(row, plain, is_current, chosen, mark, tree.has_run(row.path or "logits")),
            *(tree.cells, tree.layout_shown, numbers.columns, numbers.of(row.path)),
        )
        before = self._made.get(row.path)
        if before is None or before[0] != made_of:
            if len(self._made) >= _MOST_KEPT:
                self._made = {}
            before = self._made[row.path] = made_of, self._strip(row, plain, mark, is_current, chosen)
        return before[1]

    def _strip(self, row: ModuleRow, plain: Style, mark: str, is_current: bool, chosen: bool) -> Strip:
        tree = self._tree
        width, base = tree.cells, plain + self._style_of(row, is_current, chosen)
        # The line with the cursor has a ground of its own, on which only its own colour can be read.
        quiet, marked, alarm = (Style() if chosen else self._component(name) for name in ("quiet", "mark", "alarm"))
        columns = tree.numbers.columns
        room, _ = cells_of(width - 2, columns)
        left, right = fitted(row, room, tree.layout_shown, brief=bool(columns))
        gap = " " * max(0, room - len(left[0]) - len(left[1]) - len(right))
        return Strip([
            Segment(mark, base + marked),
            Segment(left[0], base),
            Segment(left[1], base + quiet),
            Segment(gap + right, base + quiet),
            *(
                Segment(text, base + alarm if is_alarm else base)
                for text, is_alarm in run_cells(tree.numbers.of(row.path), columns)
            ),
        ]).adjust_cell_length(width, base)  # fmt: skip

    def nothing(self, plain: Style) -> Strip:
        """Where no module has what all are sorted by."""
        by = self._tree.numbers.by
        text = f"  no module has {by}" if self._tree.cells >= len(by) + 16 else f" no {by}"
        return Strip([Segment(text, plain + self._component("quiet"))]).adjust_cell_length(self._tree.size.width, plain)

    def _component(self, name: str) -> Style:
        return self._tree.get_component_rich_style(f"modules--{name}", partial=True)

    def _style_of(self, row: ModuleRow, is_current: bool, chosen: bool) -> Style:
        ran = self._tree.has_run(row.path or "logits")
        style = self._component("ran" if ran else "waiting")
        if is_current:
            style += self._component("current")
        return style + self._component("line") if chosen else style

    def _mark(self, row: ModuleRow, is_current: bool) -> str:
        mark = self._marks.of(row.path, self._tree.site(row))
        if is_current:
            return f"▶{mark}"
        return f"✓{mark}" if self._tree.has_run(row.path) else f" {mark}"
