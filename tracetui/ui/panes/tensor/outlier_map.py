"""The matrix of the value table as a heatmap: which tokens and channels stand out, and by how many decades."""

from __future__ import annotations

from functools import partial

from textual import on
from textual.worker import get_current_worker

from tracetui.debugger.readings.value_map import ValueMap, read_value_map
from tracetui.recording.value import NotKeptError
from tracetui.ui.panes.tensor.subject import NO_SUBJECT, Subject
from tracetui.ui.panes.tensor.value_grid import NOT_KEPT
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.canvas import PATIENCE
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.matrix import nothing
from tracetui.views.heatmap.scale import ScaleKind
from tracetui.views.place import noun


class OutlierMap(Heatmap):
    """Reads a matrix only while it is on view; by decades unless the user chose otherwise."""

    KIND = ScaleKind.LOG

    def __init__(self) -> None:
        super().__init__(nothing(""), id="outlier-map")
        self._subject = NO_SUBJECT
        self._cell = (0, 0)
        self._map: ValueMap | None = None

    def show_subject(self, subject: Subject, cell: tuple[int, int]) -> None:
        """Another matrix, with the crosshair on a cell of it."""
        self._cell = cell
        if subject is self._subject:
            self.place(*cell)
            return
        self._subject, self._map = subject, None
        self.set_timer(PATIENCE, self._show_none_meanwhile)
        read_in_background(self, "map", partial(_read, subject), self._show_map, lambda: self._subject)

    def forget(self) -> None:
        """Nothing is to be held of a matrix that isn't on view."""
        self._subject, self._map = NO_SUBJECT, None
        self.show(nothing(""))

    def go_to(self, row: int, column: int) -> None:
        """Put the crosshair on a cell, now or when the matrix is there."""
        self._cell = row, column
        if self._map is not None:
            self.place(row, column)
            self._read_cell(row, column)

    def _show_none_meanwhile(self) -> None:
        if self._map is None and self._subject is not NO_SUBJECT:
            self.show(nothing("reading…"))

    def _show_map(self, value_map: ValueMap) -> None:
        self._map = value_map
        self.show(value_map.picture)
        self.go_to(*self._cell)

    @on(Heatmap.CursorMoved)
    def _know_cell(self, message: Heatmap.CursorMoved) -> None:
        self._cell = message.row, message.column
        self._read_cell(message.row, message.column)

    def _read_cell(self, row: int, column: int) -> None:
        """Have a number read that isn't held."""
        value_map = self._map
        if value_map is not None and value_map.lacks(row, column):
            work = partial(value_map.read_cell, row, column)
            read_in_background(
                self, "cell", work, partial(self._tell_cell, value_map, row, column), lambda: self._subject
            )

    def _tell_cell(self, value_map: ValueMap, row: int, column: int, number: str) -> None:
        value_map.cells[row, column] = number
        self.redraw()


def _read(subject: Subject) -> ValueMap:
    worker, plane = get_current_worker(), subject.plane
    value = subject.trace.value(subject.record)
    rows = LabelledAxis.of(subject.row_name, plane.rows.length, subject.row_labels, subject.first[0])
    columns = LabelledAxis.of(
        noun(plane.columns.name, "channel"), plane.columns.length, subject.column_labels, subject.first[1]
    )
    try:
        return read_value_map(value, plane, rows, columns, lambda: worker.is_cancelled)
    except NotKeptError:
        return ValueMap(value, plane, nothing(NOT_KEPT))
