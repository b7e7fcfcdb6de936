"""Both sides' sites as one tree, drawn only where it is seen: folded where all agree, marked where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tracetui.analysis.diff.tree import Node, Standing, TreeRow, rows_of
from tracetui.ui.widgets.list_keys import TREE_KEYS
from tracetui.views.diff.rows import BARS, row_text, strength

OVERVIEW = Node("", "overview")
_OVERVIEW = "≡ overview"
_STYLES = {
    Standing.SKIPPED: "quiet",
    Standing.AHEAD: "quiet",
    Standing.AGREES: "agrees",
    Standing.ONLY_A: "alone",
    Standing.ONLY_B: "alone",
    Standing.SHAPES: "far",
}
_APART = ("near", "far", "farthest")


class DiffTree(ScrollView, can_focus=True):
    """Moving chooses the site that the panes show; the first line is the overview."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "diff--agrees",
        "diff--quiet",
        "diff--alone",
        "diff--near",
        "diff--far",
        "diff--farthest",
        "diff--name",
        "diff--line",
        "diff--rest",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *TREE_KEYS,
        Binding("enter", "turn", "fold or unfold", show=False, id="tree_choose"),
        Binding("home", "move(-1000000)", "the overview", show=False, id="first"),
        Binding("end", "move(1000000)", "the last line", show=False, id="last"),
    ]

    class LineChosen(Message):
        """Look at a line's node."""

        def __init__(self, node: Node) -> None:
            super().__init__()
            self.node = node

    def __init__(self) -> None:
        super().__init__(id="tree", classes="diff-pane")
        self._top: Sequence[Node] = ()
        self._ways: Mapping[str, tuple[str, ...]] = {}
        self._opened: frozenset[str] = frozenset()
        self._rows: list[TreeRow] = []
        self._line = 0
        self._named = False

    def show(self, top: Sequence[Node], ways: Mapping[str, tuple[str, ...]], named: bool) -> None:
        """Another tree, all of it folded; `named`: B has names of its own, which get a column."""
        self._top, self._ways, self._opened, self._named = top, ways, frozenset(), named
        self.set_class(named, "-named")
        self._build("")

    def go(self, site: str) -> None:
        """To a site, the way to it opened; to the overview for an empty one."""
        way = self._ways.get(site, ())
        self._opened |= frozenset(way[:-1])
        self._build(way[-1] if way else "")

    def _build(self, path: str) -> None:
        self._rows = [TreeRow(OVERVIEW, 0, False), *rows_of(self._top, self._opened)]
        self.virtual_size = Size(0, len(self._rows))
        self._go(next((index for index, row in enumerate(self._rows) if row.node.path == path), 0))

    def _go(self, line: int) -> None:
        self._line = max(0, min(len(self._rows) - 1, line))
        around = Region(0, self._line - 2, 1, 5)
        self.scroll_to_region(around, animate=False, x_axis=False, force=True)
        self.refresh()
        if self._rows:
            self.post_message(self.LineChosen(self._rows[self._line].node))

    @property
    def _row(self) -> TreeRow:
        """The line with the cursor; the overview's as long as there is no tree."""
        return self._rows[self._line] if self._rows else TreeRow(OVERVIEW, 0, False)

    def action_move(self, by: int) -> None:
        self._go(self._line + by)

    def action_page(self, by: int) -> None:
        self._go(self._line + by * max(1, self.size.height - 2))

    def action_fold(self) -> None:
        """Close the line, or go to what is around it."""
        row = self._row
        if row.open:
            self._turn(row.node)
            return
        around = [index for index in range(self._line) if self._rows[index].depth < row.depth]
        if around:
            self._go(around[-1])

    def action_unfold(self) -> None:
        row = self._row
        if row.node.children and not row.open:
            self._turn(row.node)

    def action_turn(self) -> None:
        row = self._row
        if row.node.children:
            self._turn(row.node)

    def _turn(self, node: Node) -> None:
        self._opened ^= {node.path}
        self._build(node.path)

    def on_click(self, event: events.Click) -> None:
        index = event.y + self.scroll_offset.y
        if index < len(self._rows):
            row = self._rows[index]
            self._go(index)
            if row.node.children and event.x <= row.depth + 4:
                self._turn(row.node)

    def render_line(self, y: int) -> Strip:
        index, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        plain = self.rich_style
        if index >= len(self._rows):
            return Strip.blank(width, plain)
        row = self._rows[index]
        here = index == self._line
        if row.node is OVERVIEW:
            # The bars of the lines below say nothing without their ends.
            told = BARS.rjust(width - len(_OVERVIEW)) if width >= len(_OVERVIEW) + len(BARS) + 2 else ""
            cells = [
                Segment(_OVERVIEW, plain + self._ink("name", here)),
                Segment(told, plain + self._ink("quiet", here)),
            ]
        else:
            text = row_text(row, width, self._named)
            standing = plain + self._ink(self._style(row), here)
            quiet = plain + self._ink("quiet", here)
            name = plain + self._ink("name" if row.node.apart else "quiet", here)
            cells = [Segment(text.mark, standing), Segment(text.name, name)]
            cells += [Segment(text.other, quiet), Segment(text.number, standing)]
        ground = plain + self._ink("name", here)
        return Strip(cells).adjust_cell_length(width, ground)

    def _style(self, row: TreeRow) -> str:
        node = row.node
        distance = node.relative if row.open and node.site else node.worst
        standing = node.own if row.open and node.site else node.standing
        if standing < Standing.DIFFERS:
            return _STYLES[standing]
        return _APART[strength(distance or 0.0)]

    def _ink(self, name: str, here: bool) -> Style:
        """On the line with the cursor all is in that line's own colours: others couldn't be read on its ground."""
        if here:
            return self.get_component_rich_style("diff--line" if self.has_focus else "diff--rest", partial=True)
        return self.get_component_rich_style(f"diff--{name}", partial=True)
