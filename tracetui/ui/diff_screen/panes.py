"""The arrangement of two traces' screen: the tree, the finding, and one plane of A, B and A−B in values and maps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from tracetui.debugger.diff_reading import LETTERS, TENSOR, Planes, SiteTarget, SiteView
from tracetui.ui.diff_screen.commands import DIFF_COMMANDS
from tracetui.ui.diff_screen.grid import DiffGrid
from tracetui.ui.diff_screen.text import DiffText
from tracetui.ui.diff_screen.tree import DiffTree
from tracetui.ui.diff_screen.work import Comparing
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.key_bar import CommandBar
from tracetui.views.heatmap.matrix import HeatmapData

_FRONTS = ("finding", "values", "maps")
_MEDIUM, _WIDE = 100, 160


class DiffPanesScreen(Screen[None]):
    """Panes for three widths, of which one is in front; one cell is looked at in all planes."""

    AUTO_FOCUS = "#tree"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_MEDIUM, "-medium"), (_WIDE, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012

    def __init__(self, asked: Comparing, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._asked = asked
        self._keymap_shown = keymap
        self._wanted = SiteTarget()
        self._view = SiteView(SiteTarget())
        self._front = "values"
        self._side = 2

    def compose(self) -> ComposeResult:
        yield Static(id="diff-head")
        yield Static(id="diff-verdict")
        yield Static(id="diff-said")
        yield Static(id="diff-progress")
        with Horizontal(id="diff-body"):
            yield DiffTree()
            with Vertical(id="diff-main"):
                yield DiffText()
                yield Static(id="diff-short")
                yield Static(id="diff-plane")
                with Widget(id="diff-planes"):
                    yield DiffGrid()
                    with Horizontal(id="diff-maps"):
                        for place in range(len(LETTERS)):
                            yield Heatmap(id=f"diff-map-{place}")
        yield CommandBar(DIFF_COMMANDS, self._keymap_shown)

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, self._use_theme)
        self._use_theme()
        self._show_front()

    def _use_theme(self, _: object = None) -> None:
        palettes = getattr(self.app, "palettes", None)
        if palettes is not None:
            for heatmap in self.query(Heatmap):
                heatmap.palettes = palettes()

    @abstractmethod
    def look_for_maps(self) -> None:
        """Heatmaps may have come in sight that were not drawn yet."""

    def on_resize(self) -> None:
        self._title()
        self.look_for_maps()

    @property
    def _draws(self) -> bool:
        """Whether heatmaps are in sight."""
        return self._front == "maps" or self.app.size.width >= _WIDE

    def _show_planes(self, planes: Planes | str, cell: tuple[int, int], pictures: tuple[HeatmapData, ...]) -> None:
        grid = self.query_one(DiffGrid)
        grid.show(planes, cell)
        for heatmap, picture in zip(self.query(Heatmap), pictures, strict=False):
            heatmap.show(picture)
            heatmap.place(*grid.cell)
        self._title()

    def _title(self) -> None:
        """` 3 values  4 maps   [0, 5, :, :]  T × K  head 5 of 0–31`; where it is narrow the list's row for the axes."""
        planes = self._view.planes if self._wanted.site else ""
        width = self.app.size.width
        tabs = [(" 3 values", "values"), (" 4 maps", "maps")]
        if width < _MEDIUM:
            tabs.insert(0, (" 2 all", "finding"))
        named = [(text, "bold $accent" if front == self._front and width < _WIDE else "$quiet") for text, front in tabs]
        row = self.query_one(DiffGrid).row if width < _MEDIUM and self._front == "values" else None
        title = Content.assemble(*named, "  ", *_plane_parts(planes, self._wanted, row))
        self.query_one("#diff-plane", Static).update(title)

    @on(DiffGrid.CellMoved)
    def _cell_moved(self, message: DiffGrid.CellMoved) -> None:
        message.stop()
        for heatmap in self.query(Heatmap):
            heatmap.place(*message.cell)
        self._title()

    @on(Heatmap.CursorMoved)
    def _crosshair_moved(self, message: Heatmap.CursorMoved) -> None:
        """One cell is looked at in all three, and in the values."""
        message.stop()
        for heatmap in self.query(Heatmap):
            if heatmap is not message.heatmap:
                heatmap.place(message.row, message.column)
        self.query_one(DiffGrid).place(message.row, message.column)
        self._title()

    def action_token(self, by: int) -> None:
        grid = self.query_one(DiffGrid)
        grid.place(grid.cell[0] + by, grid.cell[1])
        for heatmap in self.query(Heatmap):
            heatmap.place(*grid.cell)
        self._title()

    def action_side(self, by: int) -> None:
        self._side = (self._side + by) % len(LETTERS)
        self._bring("maps")

    def action_pane(self, pane: str) -> None:
        self._bring(pane)
        focus = {"tree": "#tree", "finding": "#finding", "values": "#diff-values", "maps": f"#diff-map-{self._side}"}
        self.set_focus(self.query_one(focus[pane]))

    def _bring(self, pane: str) -> None:
        if pane in _FRONTS:
            self._front = pane
            self._show_front()
            self.look_for_maps()

    def _show_front(self) -> None:
        for front in _FRONTS:
            self.set_class(front == self._front, f"-front-{front}")
        for place in range(len(LETTERS)):
            self.set_class(place == self._side, f"-side-{place}")
        self._title()

    def action_maximise(self) -> None:
        self.toggle_class("-maximised")


def _plane_parts(planes: Planes | str, wanted: SiteTarget, row: tuple[int, str] | None) -> list[tuple[str, str]]:
    """`row` is the one that alone is seen, with its label."""
    if isinstance(planes, str):
        return []
    plane = planes.plane
    if row is not None:
        return [(_one_row(plane.where, row[0]), "bold $accent"), (f" {row[1]}", "$foreground")]
    parts = [(plane.where, "bold $accent")]
    if plane.rows.name:
        parts.append((f"  {plane.rows.name} × {plane.columns.name}", "$quiet"))
    parts.append((f"  {plane.note}", "$foreground"))
    if wanted.plane != TENSOR:
        parts.append((f"  attention: {wanted.plane}", "bold $waiting"))
    return parts


def _one_row(where: str, row: int) -> str:
    """`[0, 9, :]` of `[0, :, :]`."""
    before, colon, columns = where.rpartition(":, ")
    return f"{before}{row}, {columns}" if colon else where
