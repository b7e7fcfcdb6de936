"""Pane 3 of the diff: values of A, B and A−B of one matrix; only what is near the view is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from textwrap import wrap
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tracetui.debugger.readings.diff import Planes, part_of
from tracetui.errors import TracetuiError
from tracetui.recording.value import Array
from tracetui.text import visible
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.canvas import Canvas
from tracetui.ui.widgets.list_keys import CELL_KEYS
from tracetui.views.cells import Line, line
from tracetui.views.diff.values import Triple, as_list, columns_beside, common_size, triple_cell_at, triple_table
from tracetui.views.inks import Inks
from tracetui.views.values import ValueWindow

_MARGIN_ROWS, _MARGIN_COLUMNS = 64, 64


@dataclass(frozen=True, eq=False, slots=True)
class TripleChunk:
    """A part of both sides' matrix that has been read."""

    planes: Planes
    row0: int
    column0: int
    a: Array
    b: Array
    apart: Array
    """A − B."""
    scale: float
    """The size that gets the fullest colour."""

    def holds(self, planes: Planes | None, rows: range, columns: range) -> bool:
        """Whether this part of the matrix is in it."""
        height, width = self.a.shape
        inside = self.row0 <= rows.start and rows.stop <= self.row0 + height
        return (
            self.planes is planes and inside and self.column0 <= columns.start and columns.stop <= self.column0 + width
        )


class DiffGrid(Canvas, can_focus=True):
    """Arrows, hjkl and page keys move a cell; where it is narrow, the cell's row stands as a list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *CELL_KEYS,
        Binding("pageup", "page(-1)", "page up", show=False, id="page_up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="page_down"),
    ]

    class CellMoved(Message):
        """Another cell is looked at."""

        def __init__(self, cell: tuple[int, int]) -> None:
            super().__init__()
            self.cell = cell

    def __init__(self) -> None:
        super().__init__(id="diff-values")
        self._planes: Planes | None = None
        self._notice = ""
        self._chunk: TripleChunk | None = None
        self._asked: tuple[Planes, range, range] | None = None
        self.cell = (0, 0)
        self._corner = (0, 0)

    def show(self, planes: Planes | str, cell: tuple[int, int]) -> None:
        """Another matrix, or in words why there is none."""
        self._planes, self._notice = (None, planes) if isinstance(planes, str) else (planes, "")
        self._asked = None
        self.place(*cell)

    def place(self, row: int, column: int) -> None:
        """The cell at a place within the matrix, the view moved as little as shows it."""
        height, width = self._planes.plane.shape if self._planes else (1, 1)
        self.cell = (max(0, min(height - 1, row)), max(0, min(width - 1, column)))
        rows, columns = self._room()
        if self._as_list:
            # A line an element: the view goes along the row.
            first = _into_view(self._corner[1], self.cell[1], rows, width)
            self._corner = (self.cell[0], first)
        else:
            first_row = _into_view(self._corner[0], self.cell[0], rows, height)
            self._corner = (first_row, _into_view(self._corner[1], self.cell[1], columns, width))
        self._ask()
        self.repaint()

    @property
    def row(self) -> tuple[int, str] | None:
        """The index of the cell's row, and its token as the table has it; None where nothing is shown."""
        if self._planes is None:
            return None
        row, labels = self.cell[0], self._planes.row_labels
        return row, f"{row + self._planes.first[0]} {labels[row]}" if row < len(labels) else ""

    @property
    def _as_list(self) -> bool:
        return as_list(self.size.width, self._planes.plane.shape if self._planes else (0, 0))

    def action_move(self, down: int, across: int) -> None:
        if self._as_list:
            down, across = across, down
        before = self.cell
        self.place(self.cell[0] + down, self.cell[1] + across)
        if self.cell != before:
            self.post_message(self.CellMoved(self.cell))

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self._room()[0] - 1), 0)

    def on_resize(self) -> None:
        self.place(*self.cell)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3, 0)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3, 0)

    def on_click(self, event: events.Click) -> None:
        """To the number that was clicked."""
        triple, place = self._in_sight(), event.get_content_offset(self)
        at = triple_cell_at(triple, *self.size, place.x, place.y) if triple and place else None
        if at is not None and at != self.cell:
            self.place(*at)
            self.post_message(self.CellMoved(self.cell))

    def _room(self) -> tuple[int, int]:
        """Lines and columns of values that are seen at once."""
        planes = self._planes
        if planes is None or self._as_list:
            return max(1, self.size.height - 1), 1
        heads = 2 + bool(planes.column_labels)
        dtype = planes.sides.record.dtype
        across = columns_beside(self.size.width, planes.plane.shape, planes.row_labels, planes.first[0], dtype)
        return max(1, self.size.height - heads), across

    def _view(self) -> tuple[range, range]:
        """Rows and columns that are in sight."""
        assert self._planes
        height, width = self._planes.plane.shape
        lines, across = self._room()
        if self._as_list:
            return range(self.cell[0], self.cell[0] + 1), range(self._corner[1], min(width, self._corner[1] + lines))
        return (
            range(self._corner[0], min(height, self._corner[0] + lines)),
            range(self._corner[1], min(width, self._corner[1] + across)),
        )

    def _ask(self) -> None:
        """Have what is around the view read, unless it has been or is being read."""
        if self._planes is None or not self.size:
            return
        rows, columns = self._view()
        asked = self._asked
        if self._chunk and self._chunk.holds(self._planes, rows, columns):
            return
        if asked and asked[0] is self._planes and _inside(rows, asked[1]) and _inside(columns, asked[2]):
            return
        height, width = self._planes.plane.shape
        down = range(max(0, rows.start - _MARGIN_ROWS), min(height, rows.stop + _MARGIN_ROWS))
        across = range(max(0, columns.start - _MARGIN_COLUMNS), min(width, columns.stop + _MARGIN_COLUMNS))
        self._asked = (self._planes, down, across)
        read_in_background(
            self, "values", partial(_read, self._planes, down, across), self._show_read, lambda: self._planes
        )

    def _show_read(self, chunk: TripleChunk | str) -> None:
        """A part of the matrix, or in words why it can't be read."""
        self._chunk, self._notice = (None, chunk) if isinstance(chunk, str) else (chunk, "")
        self.repaint()

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        if self._notice:
            return [line([(f" {text}", inks.quiet)], width) for text in wrap(visible(self._notice), max(8, width - 2))]
        triple = self._in_sight()
        return triple_table(triple, width, height, inks) if triple and height > 1 else []

    def _in_sight(self) -> Triple | None:
        """What is in sight, as far as it has been read."""
        chunk, planes = self._chunk, self._planes
        if chunk is None or planes is None or chunk.planes is not planes:
            return None
        rows, columns = self._view()
        return self._triple(chunk, planes, rows, columns) if chunk.holds(planes, rows, columns) else None

    def _triple(self, chunk: TripleChunk, planes: Planes, rows: range, columns: range) -> Triple:
        down = slice(rows.start - chunk.row0, rows.stop - chunk.row0)
        across = slice(columns.start - chunk.column0, columns.stop - chunk.column0)
        a, b, apart = (array[down, across] for array in (chunk.a, chunk.b, chunk.apart))
        labels = planes.row_labels[rows.start : rows.stop], planes.column_labels[columns.start : columns.stop]
        first, second, third = (
            ValueWindow(array, rows.start, columns.start, planes.plane.shape, *labels, chunk.scale, planes.first)
            for array in (a, b, apart)
        )
        return Triple((first, second, third), self.cell)


def _read(planes: Planes, rows: range, columns: range) -> TripleChunk | str:
    down, across = (slice(part.start, part.stop) for part in (rows, columns))
    try:
        a, b, apart = part_of(planes, down, across)
    except (TracetuiError, OSError, MemoryError) as error:
        return str(error) or type(error).__name__
    return TripleChunk(planes, rows.start, columns.start, a, b, apart, common_size((a, b)))


def _inside(part: range, whole: range) -> bool:
    return whole.start <= part.start and part.stop <= whole.stop


def _into_view(first: int, place: int, room: int, length: int) -> int:
    """The first line of a view of `room` lines that holds `place`, moved as little as possible."""
    return max(0, min(max(first, place - room + 1), place, max(0, length - room)))
