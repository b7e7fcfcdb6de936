"""One plane of a site: A, B and A−B in values and heatmaps, of which one cell is looked at in all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from textual.content import Content
from textual.widgets import Static

from tracetui.debugger.readings.diff import LETTERS, TENSOR, Planes, SiteTarget
from tracetui.ui.diff_screen.arrangement import MEDIUM, WIDE, DiffArrangement
from tracetui.ui.diff_screen.grid import DiffGrid
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.matrix import HeatmapData


class PlanePanes:
    """The grid, its heatmaps and the line above them."""

    def __init__(self, arrangement: DiffArrangement) -> None:
        self._arrangement = arrangement
        self.grid = DiffGrid()
        self.maps = tuple(Heatmap(id=f"diff-map-{place}") for place in range(len(LETTERS)))
        for heatmap in self.maps:
            heatmap.fills = True
        self.heading = Static(id="diff-plane")
        self._planes: Planes | str = ""
        self._target = SiteTarget()

    @property
    def handlers(self) -> Mapping[str, Callable[[], None]]:
        return {"next_token": partial(self.move_token, 1), "previous_token": partial(self.move_token, -1)}

    def show(
        self, planes: Planes | str, target: SiteTarget, cell: tuple[int, int], pictures: tuple[HeatmapData, ...]
    ) -> None:
        """Another plane, or in words why there is none."""
        self._planes, self._target = planes, target
        self.grid.show(planes, cell)
        for heatmap, picture in zip(self.maps, pictures, strict=False):
            heatmap.show(picture)
            heatmap.place(*self.grid.cell)
        self.title()

    def place_maps(self, cell: tuple[int, int]) -> None:
        """The crosshairs where the grid's cell is."""
        for heatmap in self.maps:
            heatmap.place(*cell)
        self.title()

    def place_all(self, moved: Heatmap, row: int, column: int) -> None:
        """The other crosshairs, and the grid's cell, where one crosshair has gone."""
        for heatmap in self.maps:
            if heatmap is not moved:
                heatmap.place(row, column)
        self.grid.place(row, column)
        self.title()

    def move_token(self, by: int) -> None:
        self.grid.place(self.grid.cell[0] + by, self.grid.cell[1])
        self.place_maps(self.grid.cell)

    def title(self) -> None:
        """` 7 values  8 maps   [0, 5, :, :]  T × K  head 5 of 0–31`; where it is narrow the list's row for the axes."""
        front, width = self._arrangement.front, self.heading.app.size.width
        self._choose_thumbnails(width)
        tabs = [(" 7 values", "values"), (" 8 maps", "maps")]
        if width < MEDIUM:
            tabs.insert(0, (" 2 all", "finding"))
        named = [(text, "bold $accent" if pane == front and width < WIDE else "$quiet") for text, pane in tabs]
        row = self.grid.row if width < MEDIUM and front == "values" else None
        self.heading.update(Content.assemble(*named, "  ", *_plane_parts(self._planes, self._target, row)))

    def _choose_thumbnails(self, width: int) -> None:
        """Beside A−B the others have no legend: that of A−B is theirs, unless A−B has a scale of its own."""
        for place, heatmap in enumerate(self.maps):
            has_legend = width < MEDIUM or place == len(LETTERS) - 1 or (place == 1 and self._target.own_scale)
            if heatmap.is_thumbnail is has_legend:
                heatmap.is_thumbnail = not has_legend
                heatmap.redraw()


def _plane_parts(planes: Planes | str, target: SiteTarget, row: tuple[int, str] | None) -> list[tuple[str, str]]:
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
    if target.plane != TENSOR:
        parts.append((f"  attention: {target.plane}", "bold $waiting"))
    return parts


def _one_row(where: str, row: int) -> str:
    """`[0, 9, :]` of `[0, :, :]`."""
    before, colon, columns = where.rpartition(":, ")
    return f"{before}{row}, {columns}" if colon else where
