"""Where the parts of a heatmap go on a screen of any size, and which cell lies where."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracetui.views.heatmap.pyramid import MAX_ZOOM, fit, pixels, pooled

_MOST_LABEL = 14
_GAP = 2
"""Columns between row labels and cells: the crosshair's pointer and a blank."""
_TEXT_COLUMNS = 4
"""Cells at least this wide carry texts over them, narrower ones carry index ticks."""
_POINTED = (30, 10)
"""Columns and lines from which on the crosshair is pointed at from all four sides."""
_LONG = 2
"""A matrix this many times longer than wide is not drawn with square cells: its short side needs none pooled."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a layout depends on besides the size of the screen."""

    rows: int
    columns: int
    row_label: int
    """Columns that row labels and what names them take."""
    column_label: int
    title: bool = True
    """Whether there is one; the size of the matrix then stands beside it."""
    legend: bool = True
    """Whether there is one, where it has room."""
    fills: bool = False
    """Whether a side that has room grows as far as it has, whatever the other does."""


@dataclass(frozen=True, slots=True)
class HeatmapLayout:
    """Lines from the top: title, column axis, cells, a pointer, (nothing), legend, caption."""

    width: int
    height: int
    title: int
    """Lines for it, 0 or 1; likewise `axis` (0 to 2) and `legend`."""
    axis: int
    legend: int
    labels: int
    """Columns for row labels."""
    below: int = 0
    """A line for what points at the crosshair's column, and behind each row a column for what points at its row."""
    zoom: int = 0
    """The smaller of the zooms of both sides."""
    row_zoom: int = 0
    column_zoom: int = 0

    @property
    def left(self) -> int:
        """The first column of cells."""
        return self.labels + _GAP if self.labels else 0

    @property
    def top(self) -> int:
        """The first line of cells."""
        return self.title + self.axis

    @property
    def lines(self) -> int:
        """Lines for cells."""
        return max(0, self.height - self.top - self.legend - 1)

    @property
    def cell_lines(self) -> int:
        """Those of them that cells may fill."""
        return max(0, self.lines - self.below)

    @property
    def cell_room(self) -> int:
        """Those of `room` that cells may fill."""
        return max(0, self.room - self.below)

    @property
    def room(self) -> int:
        """Columns for cells."""
        return max(0, self.width - self.left)

    @property
    def texts(self) -> bool:
        """Whether the column axis shows labels; else ticks."""
        return pixels(self.column_zoom) >= _TEXT_COLUMNS


def arrange(width: int, height: int, plan: Plan, zoom: int | None) -> HeatmapLayout:
    """The layout of a screen; without a zoom the whole matrix is made to fit."""
    title, legend, axis = int(plan.title and height >= 8), int(plan.legend and height >= 6), int(height >= 4)
    labels = min(plan.row_label, _MOST_LABEL, width // 4) if width >= 20 else 0
    below = int(height >= _POINTED[1] and width >= _POINTED[0])
    one = _zoomed(HeatmapLayout(width, height, title, axis, legend, labels, below), plan, zoom)
    two = _zoomed(replace(one, axis=axis + 1), plan, zoom)
    two_rows = height >= 16 and two.texts and plan.column_label >= pixels(two.column_zoom)
    return two if two_rows and two.zoom == one.zoom else one


def _zoomed(layout: HeatmapLayout, plan: Plan, zoom: int | None) -> HeatmapLayout:
    """The layout with its zooms: the one asked for, as far as it makes sense, or the one that shows all."""
    chosen = fit(plan.rows, plan.columns, layout.cell_room, layout.cell_lines)
    if zoom is not None:
        chosen = min(max(zoom, min(chosen, 0)), MAX_ZOOM, layout.cell_lines, layout.cell_room // 2)
    rows = columns = chosen
    is_long = max(plan.rows, plan.columns) >= _LONG * min(plan.rows, plan.columns)
    if is_long:
        rows = max(chosen, min(1, fit(plan.rows, 1, layout.cell_room, layout.cell_lines)))
    if is_long or chosen == 1:
        # Cells one line high may be as wide as the texts over them need.
        columns = max(chosen, min(2, fit(1, plan.columns, layout.cell_room, layout.cell_lines)))
    if zoom is None and plan.fills:
        rows = max(rows, fit(plan.rows, 1, layout.cell_room, layout.cell_lines))
        columns = max(columns, fit(1, plan.columns, layout.cell_room, layout.cell_lines))
    elif zoom is None and chosen >= 0:
        # Of a small matrix the side that has room grows a step further than the other.
        rows = max(rows, min(chosen + 1, fit(plan.rows, 1, layout.cell_room, layout.cell_lines)))
        columns = max(columns, min(chosen + 1, fit(1, plan.columns, layout.cell_room, layout.cell_lines)))
    return replace(layout, zoom=chosen, row_zoom=rows, column_zoom=columns)


@dataclass(frozen=True, slots=True)
class MapWindow:
    """What is seen of one side of a matrix: of its rows, or of its columns."""

    length: int
    """Cells there are."""
    room: int
    """Pixels there are."""
    zoom: int
    start: int
    """The first cell shown; zoomed out, the first group of cells."""
    cursor: int
    """The cell under the crosshair."""

    @property
    def size(self) -> int:
        """Pixels a cell, or a group of them, takes."""
        return pixels(self.zoom)

    @property
    def step(self) -> int:
        """Cells in a group."""
        return pooled(self.zoom)

    @property
    def shown(self) -> int:
        """How many cells or groups have room, whole."""
        return max(1, self.room // self.size)

    @property
    def cells(self) -> range:
        """The cells in sight."""
        return range(self.start * self.step, min(self.length, (self.start + self.shown) * self.step))

    @property
    def drawn(self) -> int:
        """Pixels that the cells in sight take."""
        return -(-len(self.cells) // self.step) * self.size

    def label_line(self, cell: int) -> int:
        """The line of a row's label: its middle one, or the one above."""
        return (self.pixel(cell) + max(0, self.size - 2) // 2) // 2

    def pixel(self, cell: int) -> int:
        """The first pixel of a cell in sight."""
        return (cell // self.step - self.start) * self.size

    def cell(self, pixel: int) -> int | None:
        """The first cell of what has this pixel, or None."""
        index = (self.start + pixel // self.size) * self.step
        return index if pixel >= 0 and index in self.cells else None


@dataclass(frozen=True, slots=True)
class View:
    """A layout, and the part of the matrix that it shows."""

    layout: HeatmapLayout
    rows: MapWindow
    columns: MapWindow

    @property
    def drawn_lines(self) -> int:
        """Lines of the screen that cells are drawn on."""
        return -(-self.rows.drawn // 2)

    @property
    def drawn_columns(self) -> int:
        """Columns of the screen that cells are drawn in."""
        return self.columns.drawn

    def cell_at(self, x: int, y: int) -> tuple[int, int] | None:
        """The first cell of what is drawn at a column and a line of the screen, if anything is."""
        row, column = self.rows.cell(2 * (y - self.layout.top)), self.columns.cell(x - self.layout.left)
        return None if row is None or column is None else (row, column)

    def crosshair(self, inside: bool = True) -> list[tuple[int, int, int, int]]:
        """Where the screen depends on the crosshair: x, y, width and height of its row, column, labels, caption.

        inside: whether the cells do too.
        """
        layout, rows, columns = self.layout, self.rows, self.columns
        y, height = layout.top + rows.pixel(rows.cursor) // 2, max(1, rows.size // 2)
        x, below = layout.left + columns.pixel(columns.cursor), layout.top + self.drawn_lines
        behind = layout.left + self.drawn_columns
        around = [(0, layout.title, layout.width, layout.axis), (0, layout.height - 1, layout.width, 1)]
        if inside:
            return [*around, (0, y, layout.width, height), (x, layout.top, columns.size, layout.lines)]
        beside = [(0, y, layout.left, height), (behind, y, layout.width - behind, height)]
        return [*around, *beside, (x, below, columns.size, layout.top + layout.lines - below)]

    def same_part(self, other: View) -> bool:
        """Whether the other shows the same cells at the same places."""
        return self.layout == other.layout and (self.rows.start, self.columns.start) == (
            other.rows.start,
            other.columns.start,
        )


def look(layout: HeatmapLayout, plan: Plan, cell: tuple[int, int], before: View | None) -> View:
    """The view with `cell` on the screen, moved as little as can be from the view before."""
    rows = MapWindow(plan.rows, 2 * layout.cell_lines, layout.row_zoom, 0, cell[0])
    columns = MapWindow(plan.columns, layout.cell_room, layout.column_zoom, 0, cell[1])
    row = _start(rows, before.rows if before else None)
    column = _start(columns, before.columns if before else None)
    return View(layout, replace(rows, start=row), replace(columns, start=column))


def _start(window: MapWindow, before: MapWindow | None) -> int:
    """What a window must begin with to have the crosshair in sight, where it was on the screen, and no room left."""
    place, start = window.cursor // window.step, 0
    if before is not None:
        moved = place - before.pixel(before.cursor) // window.size
        start = before.start if before.zoom == window.zoom else moved
    start = max(min(start, place), place - window.shown + 1)
    return max(0, min(start, -(-window.length // window.step) - window.shown))
