"""Pane 1: the module tree, one line a module, drawn only where it is seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tracetui.analysis.module_numbers import SortBy
from tracetui.debugger.module_rows import ModuleRow, ancestors, first_open, layouts_of, paths_of
from tracetui.debugger.state import ScreenState
from tracetui.ui.messages import JumpToModule
from tracetui.ui.painting.focus import PlainFocus
from tracetui.ui.panes.modules.matching import holding, next_holding
from tracetui.ui.panes.modules.ran import RanModules
from tracetui.ui.panes.modules.run_numbers import RunNumbers
from tracetui.ui.panes.modules.strips import COMPONENTS, LineStrips
from tracetui.ui.panes.modules.tree_lines import TreeLines
from tracetui.ui.widgets.list_keys import TREE_KEYS


class ModuleList(PlainFocus, ScrollView, can_focus=True):
    """Follows the cursor: opens the way to the current module and closes what it opened before."""

    COMPONENT_CLASSES: ClassVar[set[str]] = set(COMPONENTS)
    BINDINGS: ClassVar[list[BindingType]] = [
        *TREE_KEYS,
        Binding("enter", "choose", "go to the module's record", show=False, id="tree_choose"),
    ]

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)
    line: reactive[int] = reactive(0, repaint=False)
    layout_shown: reactive[str] = reactive("")
    """The layout whose names stand beside the tree's; empty for none."""
    finding: reactive[bool] = reactive(False)
    """Whether something is searched for: the line then shows though it has no keys."""

    def __init__(self) -> None:
        super().__init__(id="modules", classes="pane")
        self._rows: list[ModuleRow] = []
        self._lines: dict[str, int] = {}
        """Where the line of a path is: the first, if there are several."""
        self._first: frozenset[str] = frozenset()
        self._opened: set[str] = set()
        self._followed: set[str] = set()
        self._ran = RanModules()
        self._known: frozenset[str] = frozenset()
        self.filtered_by = ""
        """What the paths of the modules on view hold."""
        self._tree = TreeLines()
        self.current = ""
        """The module of the record under the cursor; the top for what no module is named after."""
        self._plain: Style | None = None
        self._strips = LineStrips(self)
        self.numbers = RunNumbers(self)

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        if state.outline is not old.outline:
            self._first = frozenset(first_open(state.outline))
            self._opened, self._followed = set(self._first), set()
            self._known, self._ran = frozenset(paths_of(state.outline)), RanModules(state.outline)
            self._build()
        before, fresh = self.current, state.frontier != old.frontier or old.cursor < 0 <= state.cursor
        marks_differ, ran_more = self._strips.use(state), self._ran.hear(state)
        module = state.record.module
        self.current = module if module in self._known or self._ran.is_expert(module) else ""
        if state.cursor != old.cursor or state.trace is not old.trace:
            self._follow()
        self.numbers.follow()
        if marks_differ or ran_more or fresh:
            self.refresh()
        elif self.current != before:
            for line in {self._lines.get(path, self.line) for path in (before, self.current)}:
                self.refresh_line(line)

    def filter(self, text: str) -> None:
        """Show the modules whose path holds a text, and what is around them; all again where it is empty."""
        chosen, self.filtered_by = self.chosen, text
        self.numbers.follow()
        self._build()
        self.go(chosen)
        self.bring_into_view()

    def matches(self, text: str) -> list[str]:
        """The paths that hold a text, in the order of the tree."""
        return holding(self._paths(), text)

    def find(self, text: str, start: str | None = None, by: int = 1) -> str | None:
        """Open the way to the next module after `start`, or after the line, whose path holds the text; go there.

        by: -1 for the one before.
        """
        path_found = next_holding(self._paths(), text, start if start is not None else self.chosen, by)
        if path_found is None:
            return None
        self._opened |= ancestors(path_found)
        self._build()
        self.go(path_found)
        # Where the line stands already it may still be out of sight.
        self.bring_into_view()
        return path_found

    @property
    def chosen(self) -> str:
        """The path of the line that the user is on."""
        return self._rows[self.line].path if self._rows else ""

    @property
    def unfolded(self) -> tuple[str, ...] | None:
        """Paths that the user left unfolded; None for those that always are at first."""
        opened = self._opened - self._followed
        return None if opened == self._first else tuple(sorted(opened))

    def unfold(self, paths: Iterable[str]) -> None:
        """Have exactly these unfolded, and the way to the current module."""
        known = {*self._known, self.state.outline.path}
        self._opened, self._followed = {path for path in paths if path in known or self._ran.is_expert(path)}, set()
        self._build()
        self._follow()

    def next_layout(self) -> str:
        """Show the names of another implementation, of the next one, or of none; which these are."""
        layouts = ["", *layouts_of(self.state.outline)]
        after = layouts.index(self.layout_shown) + 1 if self.layout_shown in layouts else 0
        self.layout_shown = layouts[after % len(layouts)]
        return self.layout_shown

    def _paths(self) -> list[str]:
        """Every path that can be gone to, in order, experts that were hit in their place."""
        if self.numbers.ranking is not None:
            return list(self.numbers.ranking.order)
        every: list[str] = []
        for path in paths_of(self.state.outline):
            around = path.rpartition(".")[0]
            if (hit := self._ran.experts.get(around)) and "–" in path.rpartition(".")[2]:
                every.extend(f"{around}.{number}" for number in sorted(hit))
            every.append(path)
        return every

    def _build(self) -> None:
        """Make the lines again, unless they stand for the same already."""
        matches = self.matches(self.filtered_by) if self.filtered_by else []
        made = self._tree.make(
            self.state.outline, self._opened, self._ran, self.numbers.ranking, self.filtered_by, matches
        )
        if not made:
            return
        self._rows, self._lines = self._tree.rows, self._tree.places
        height = len(self._rows)
        if height != self.virtual_size.height:
            # Width and height are the stylesheet's: a longer list moves no other widget, so no layout is due.
            self.set_reactive(ModuleList.virtual_size, Size(0, height))
            self._refresh_scrollbars()
            if self.show_vertical_scrollbar:
                self.vertical_scrollbar.window_virtual_size = height
            self.scroll_y = self.validate_scroll_y(self.scroll_y)
        self.line = max(0, min(self.line, len(self._rows) - 1))
        self.refresh()

    def _follow(self) -> None:
        if self.state.cursor < 0:
            return
        needed = ancestors(self.current)
        self._opened -= self._followed - needed
        self._followed = (self._followed & needed) | (needed - self._opened)
        self._opened |= needed
        self._build()
        self.go(self.current)

    def go(self, path: str) -> None:
        """To the line of a module, if it is unfolded."""
        self.line = self._lines.get(path, self.line)

    @property
    def cells(self) -> int:
        """Of a line; beside it there may be a scrollbar."""
        return self.scrollable_content_region.width

    @property
    def seen(self) -> list[str]:
        """The paths of the lines on view."""
        first = self.scroll_offset.y
        return [row.path for row in self._rows[first : first + self.size.height] if not row.folded]

    def has_run(self, path: str) -> bool:
        return path in self._ran.sites

    def sort_further(self, to: SortBy | None = None) -> SortBy:
        """In the order of the next of the run's numbers, or of the tree; or in one that is asked for."""
        chosen, by = self.chosen or self.current, self.numbers.next_order(to)
        if by is SortBy.TREE:
            self._opened |= ancestors(chosen)
        self._build()
        self.go(chosen)
        return by

    def rebuild(self) -> None:
        """The order of the lines is another one: the largest first, and the user on it."""
        self._build()
        self.line = 0
        self.bring_into_view()

    def on_resize(self) -> None:
        self.numbers.follow()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.numbers.follow()

    def watch_line(self, old: int, line: int) -> None:
        self.bring_into_view()
        self.refresh_line(old)
        self.refresh_line(line)

    def bring_into_view(self) -> None:
        """Scroll to the line, and to a few around it."""
        around = Region(0, self.line - 2, 1, 5)
        self.scroll_to_region(around, animate=False, x_axis=False, force=True)

    def action_move(self, by: int) -> None:
        self.line = max(0, min(len(self._rows) - 1, self.line + by))

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.size.height - 2))

    def action_fold(self) -> None:
        """Close the line, or go to what is around it."""
        if not self._rows:
            return
        row = self._rows[self.line]
        if row.open:
            self._opened.discard(row.path)
            self._build()
        elif row.path:
            self.go(row.path.rpartition(".")[0])

    def action_unfold(self) -> None:
        if self._rows and self._rows[self.line].opens:
            self._opened.add(self._rows[self.line].path)
            self._build()

    def action_choose(self) -> None:
        if self._rows and not self._rows[self.line].folded:
            self.post_message(JumpToModule(self._rows[self.line].path))

    def on_click(self, event: events.Click) -> None:
        index = event.y + self.scroll_offset.y
        if index >= len(self._rows):
            return
        self.line = index
        if event.x <= 2 + self._rows[index].depth:
            self.action_fold() if self._rows[index].open else self.action_unfold()
        else:
            self.action_choose()

    def notify_style_update(self) -> None:
        self._plain = None
        self._strips.forget()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        index = y + self.scroll_offset.y
        plain = self._plain = self._plain or self.rich_style
        if index >= len(self._rows):
            empty = not y and self.numbers.ranking is not None
            return self._strips.nothing(plain) if empty else Strip.blank(self.size.width, plain)
        row = self._rows[index]
        is_current = self.state.cursor >= 0 and row.path == self.current
        return self._strips.strip(row, plain, is_current, index == self.line and (self.has_focus or self.finding))

    @property
    def stop_pattern(self) -> str:
        """The pattern of the line's own records, or of all inside where it has none; empty where nothing runs."""
        return self.site(self._rows[self.line]) if self._rows else ""

    def site(self, row: ModuleRow) -> str:
        """The same of any line."""
        around = row.path.rpartition(".")[0]
        if row.folded:
            return f"{around}.*" if around in self._ran.lists else ""
        return f"{row.path}.*" if row.kind == "ModuleList" else row.path or "logits"
