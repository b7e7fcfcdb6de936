"""Where the parts of a heatmap go on a screen of any size, and which cell lies where."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracetui.views.pyramid import MAX_ZOOM, fit, pixels, pooled

_MOST_LABEL = 14
_GAP = 2
"""Columns between row labels and cells: the crosshair's pointer and a blank."""
_TEXT_COLUMNS = 4
"""Cells at least this wide carry texts over them, narrower ones carry index ticks."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a layout depends on besides the size of the screen."""

    rows: int
    columns: int
    row_label: int
    """Columns that the longest row label takes."""
    column_label: int
    title: bool = True
    """Whether there is one; the size of the matrix then stands beside it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Lines from the top: title, column axis, cells, (nothing), legend, caption."""

    width: int
    height: int
    title: int
    """Lines for it, 0 or 1; likewise `axis` (0 to 2) and `legend`."""
    axis: int
    legend: int
    labels: int
    """Columns for row labels."""
    zoom: int

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
    def room(self) -> int:
        """Columns for cells."""
        return max(0, self.width - self.left)

    @property
    def texts(self) -> bool:
        """Whether the column axis shows labels; else ticks."""
        return pixels(self.zoom) >= _TEXT_COLUMNS

    @property
    def shown_rows(self) -> int:
        """Whole cells, or pooled squares, that fit from top to bottom."""
        return max(1, 2 * self.lines // pixels(self.zoom))

    @property
    def shown_columns(self) -> int:
        return max(1, self.room // pixels(self.zoom))


def arrange(width: int, height: int, plan: Plan, zoom: int | None) -> Layout:
    """The layout of a screen; without a zoom the whole matrix is made to fit."""
    title, legend, axis = int(plan.title and height >= 8), int(height >= 6), int(height >= 4)
    labels = min(plan.row_label, _MOST_LABEL, width // 4) if width >= 20 else 0
    one = Layout(width, height, title, axis, legend, labels, 0)
    fitted = fit(plan.rows, plan.columns, one.room, one.lines)
    largest = min(MAX_ZOOM, one.lines, one.room // 2)
    chosen = fitted if zoom is None else min(max(zoom, min(fitted, 0)), largest)
    two = Layout(width, height, title, axis + 1, legend, labels, chosen)
    wanted = height >= 16 and two.texts and plan.column_label >= pixels(chosen)
    fits = zoom is not None or fit(plan.rows, plan.columns, two.room, two.lines) == chosen
    return two if wanted and fits else replace(one, zoom=chosen)


@dataclass(frozen=True, slots=True)
class View:
    """A layout, the part of the matrix that it shows, and the crosshair."""

    layout: Layout
    top: int
    """First row shown, in cells or, when zoomed out, in pooled squares."""
    left: int
    row: int
    """Cell under the crosshair."""
    column: int

    def cell_at(self, x: int, y: int) -> tuple[int, int] | None:
        """The first cell of what is drawn at a column and a line of the screen; it may lie beyond the matrix."""
        layout, size, step = self.layout, pixels(self.layout.zoom), pooled(self.layout.zoom)
        x, y = x - layout.left, 2 * (y - layout.top)
        if not (0 <= x < layout.shown_columns * size and 0 <= y < layout.shown_rows * size):
            return None
        return (self.top + y // size) * step, (self.left + x // size) * step

    def crosshair(self) -> list[tuple[int, int, int, int]]:
        """Where the screen depends on the crosshair: x, y, width and height of its row, column, labels, caption."""
        layout, size, step = self.layout, pixels(self.layout.zoom), pooled(self.layout.zoom)
        line = (self.row // step - self.top) * size // 2
        column = (self.column // step - self.left) * size
        return [
            (0, layout.title, layout.width, layout.axis),
            (0, layout.top + line, layout.width, max(1, size // 2)),
            (layout.left + column, layout.top, size, layout.lines),
            (0, layout.height - 1, layout.width, 1),
        ]

    def same_part(self, other: View) -> bool:
        """Whether the other shows the same cells at the same places."""
        return (self.layout, self.top, self.left) == (other.layout, other.top, other.left)


def look(layout: Layout, plan: Plan, cell: tuple[int, int], before: View | None) -> View:
    """The view with `cell` on the screen, moved as little as can be from the view before."""
    row, column = cell
    step = pooled(layout.zoom)
    top = left = 0
    if before is not None:
        top = _kept(before.top, before.row, before.layout.zoom, row, layout.zoom)
        left = _kept(before.left, before.column, before.layout.zoom, column, layout.zoom)
    top = _pan(top, row // step, layout.shown_rows, -(-plan.rows // step))
    left = _pan(left, column // step, layout.shown_columns, -(-plan.columns // step))
    return View(layout, top, left, row, column)


def _kept(start: int, place: int, old: int, new_place: int, new: int) -> int:
    """The first cell shown after a zoom that leaves the crosshair where it is on the screen."""
    if old == new:
        return start
    offset = (place // pooled(old) - start) * pixels(old)
    return new_place // pooled(new) - offset // pixels(new)


def _pan(start: int, place: int, shown: int, length: int) -> int:
    """The first of `shown` cells so that `place` is among them and no room is left empty."""
    start = max(min(start, place), place - shown + 1)
    return max(0, min(start, length - shown))
