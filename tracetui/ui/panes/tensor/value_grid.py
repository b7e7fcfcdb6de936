"""The values of a matrix as a table that scrolls over any size: only what is near the view is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from textwrap import wrap
from typing import ClassVar

import numpy as np
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tracetui.ui.messages import TokenChosen
from tracetui.ui.painting.drawings import Drawing, Same
from tracetui.ui.panes.kept import Kept
from tracetui.ui.panes.tensor.subject import NO_CHUNK, NO_SUBJECT, Chunk, Subject, read_chunk
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.canvas import Canvas, Patience
from tracetui.ui.widgets.list_keys import CELL_KEYS
from tracetui.views.cells import Line, line
from tracetui.views.inks import Inks
from tracetui.views.values import (
    NORM_CELLS,
    NORMS_FROM,
    ValueWindow,
    capacity,
    cell_at,
    heads_of,
    norm_column,
    values_table,
)

_MARGIN_ROWS, _MARGIN_COLUMNS = 64, 32
_MOST_KEPT = 24
ORIGIN = "values"
NOT_KEPT = "The values of this tensor were not kept, only its statistics (--keep, --values)."


class ValueGrid(Canvas, can_focus=True):
    """Arrows, hjkl and page keys move a cell cursor; on token rows it takes the token cursor along."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *CELL_KEYS,
        Binding("pageup", "page(-1, 0)", "page up", show=False, id="page_up"),
        Binding("pagedown", "page(1, 0)", "page down", show=False, id="page_down"),
        Binding("shift+left", "page(0, -1)", "page left", show=False, id="page_left"),
        Binding("shift+right", "page(0, 1)", "page right", show=False, id="page_right"),
    ]

    class CellShown(Message):
        """Another cell is at the cursor, or its number has been read."""

    def __init__(self) -> None:
        super().__init__(id="values")
        self._subject = NO_SUBJECT
        self._chunk = NO_CHUNK
        self._asked: Chunk = NO_CHUNK
        self.cell = (0, 0)
        """The row and column the user is at, within the matrix."""
        self._corner = (0, 0)
        self._placed_for: object = None
        """The size and matrix that the view was last moved for."""
        self._patience = Patience(self, self._paint_without)
        self._kept: Kept[Chunk] = Kept(_MOST_KEPT)
        """Parts that were read lately, by record and plane."""

    def show_subject(self, subject: Subject) -> None:
        """Another matrix; the cell stays as far as it exists, but for another prompt."""
        if subject.trace.tokens != self._subject.trace.tokens:
            self.cell = (0, 0)
        if subject.trace is not self._subject.trace:
            self.forget_drawings()
        self._subject, self._asked = subject, NO_CHUNK
        if (kept := self._kept.of(subject.trace, subject.of)) is not None:
            self._chunk = replace(kept, subject=subject)
        else:
            self._patience.begin()
        self._place(*self.cell)

    def drawing(self) -> Drawing | None:
        chunk, subject = self._chunk, self._subject
        if chunk.missing or chunk.subject is not subject:
            return None
        labels = subject.first, Same(subject.row_labels), Same(subject.column_labels)
        return Drawing(subject.of, (Same(chunk.numbers), self._corner, self.cell, *labels))

    def draw_ahead(self, subject: Subject) -> None:
        """Keep what would be drawn of another matrix, if it was read."""
        kept = self._kept.of(subject.trace, subject.of)
        if kept is None or not self.size:
            return
        shown = self._subject, self._chunk, self.cell, self._corner
        self._subject, self._chunk = subject, replace(kept, subject=subject)
        self._move_to(*self.cell)
        try:
            self.draw_aside()
        finally:
            self._subject, self._chunk, self.cell, self._corner = shown

    def _paint_without(self) -> None:
        if self._chunk.subject is not self._subject:
            self.repaint()

    def show_row(self, position: int) -> None:
        """Go to a token's row, if rows are tokens and one is this position's."""
        row = position - self._subject.first[0]
        if row < 0:
            return
        if self._subject.counts_tokens and row != self.cell[0]:
            self._place(row, self.cell[1])

    def go_to(self, row: int, column: int) -> None:
        """Put the cell cursor on a place of the matrix."""
        self._place(row, column)

    @property
    def subject(self) -> Subject:
        """What the table shows."""
        return self._subject

    @property
    def value(self) -> float | None:
        """The number at the cell, if it has been read."""
        chunk, (row, column) = self._chunk, self.cell
        down, across = row - chunk.row0, column - chunk.column0
        rows, columns = chunk.numbers.shape
        if chunk.subject is not self._subject or not (0 <= down < rows and 0 <= across < columns):
            return None
        return float(chunk.numbers[down, across])

    def keep(self, chunk: Chunk) -> None:
        """A part of another matrix was read ahead."""
        self._kept.add(chunk.subject.trace, chunk.subject.of, chunk)

    def reading_of(self, subject: Subject) -> Callable[[], Chunk] | None:
        """The work that reads what would be seen of another matrix first; None where it was read lately."""
        if not self.size or self._kept.of(subject.trace, subject.of) is not None:
            return None
        return partial(read_chunk, subject, *self._around(subject))

    def _show(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self.keep(chunk)
        self.repaint()
        self.post_message(self.CellShown())

    def on_resize(self) -> None:
        """Brought to the front at the size it had, it is as it was."""
        if self._placed_for != (self.size, self._subject):
            self._place(*self.cell)

    def action_move(self, down: int, across: int) -> None:
        self._place(self.cell[0] + down, self.cell[1] + across, tell=down != 0)

    def action_page(self, down: int, across: int) -> None:
        rows, columns = self._room()
        self.action_move(down * max(1, rows - 1), across * max(1, columns - 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3, 0)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3, 0)

    def _place(self, row: int, column: int, tell: bool = False) -> None:
        """The cell at a place within the matrix, the view moved as little as shows it."""
        self._placed_for = self.size, self._subject
        self._move_to(row, column)
        if tell and (position := self._subject.position(self.cell[0])) is not None:
            self.post_message(TokenChosen(position, ORIGIN))
        self._ask()
        if self._chunk.subject is self._subject:
            self.repaint()
            self.post_message(self.CellShown())

    def _move_to(self, row: int, column: int) -> None:
        height, width = self._subject.plane.shape
        self.cell = (max(0, min(height - 1, row)), max(0, min(width - 1, column)))
        rows, columns = self._room()
        self._corner = (
            _into_view(self._corner[0], self.cell[0], rows, height),
            _into_view(self._corner[1], self.cell[1], columns, width),
        )

    def _room(self) -> tuple[int, int]:
        """Whole rows and columns that fit."""
        subject = self._subject
        labels = subject.row_labels[self._corner[0] : self._corner[0] + self.size.height]
        dtype = subject.record.dtype
        rows, columns = capacity(
            self._table_width, self.size.height, dtype, subject.plane.shape, labels, subject.first[0]
        )
        heads = 1 if subject.column_labels and self.size.height > 3 else 0
        return max(1, rows - heads), max(1, columns - 1)

    @property
    def _table_width(self) -> int:
        """Cells without the column of norms."""
        width = self.size.width
        return width - NORM_CELLS if width >= NORMS_FROM and self._subject.has_norms else width

    def _ask(self) -> None:
        """Have what is around the view read, unless it has been or is being read."""
        subject = self._subject
        if subject is NO_SUBJECT or not self.size or self._covers(self._chunk) or self._covers(self._asked):
            return
        down, across = self._around(subject)
        self._asked = Chunk(subject, down.start, across.start, np.broadcast_to(np.float32(0), _span(down, across)))
        work = partial(read_chunk, subject, down, across)
        read_in_background(self, "values", work, self._show, lambda: self._subject, holds_paint=self.is_on_screen)

    def _around(self, subject: Subject) -> tuple[slice, slice]:
        """Rows and columns of a matrix around the view, as far as it has them."""
        (rows, columns), (height, width) = self._room(), subject.plane.shape
        top, left = max(0, self._corner[0] - _MARGIN_ROWS), max(0, self._corner[1] - _MARGIN_COLUMNS)
        bottom, right = self._corner[0] + rows + _MARGIN_ROWS, self._corner[1] + columns + 1 + _MARGIN_COLUMNS
        return slice(min(top, height), min(height, bottom)), slice(min(left, width), min(width, right))

    def _covers(self, chunk: Chunk) -> bool:
        if chunk.subject is not self._subject or chunk.missing:
            return chunk.missing and chunk.subject is self._subject
        rows, columns = self._room()
        height, width = self._subject.plane.shape
        bottom, right = min(height, self._corner[0] + rows), min(width, self._corner[1] + columns + 1)
        high, wide = chunk.numbers.shape
        inside_rows = chunk.row0 <= self._corner[0] and bottom <= chunk.row0 + high
        return inside_rows and chunk.column0 <= self._corner[1] and right <= chunk.column0 + wide

    def on_click(self, event: events.Click) -> None:
        """To the number that was clicked."""
        place, is_read = event.get_content_offset(self), self._chunk.subject is self._subject
        if place is None or not is_read or self._chunk.missing:
            return
        height = self.size.height
        at = cell_at(self._window(height), self._table_width, height, place.x, place.y)
        if at is not None:
            self._place(*at, tell=at[0] != self.cell[0])

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        chunk = self._chunk
        if chunk.subject is not self._subject:
            return []
        if chunk.missing:
            return [line([(f" {text}", inks.mark)], width) for text in wrap(NOT_KEPT, max(8, width - 2))]
        table, window = self._table_width, self._window(height)
        lines = values_table(window, table, height, inks, cursor=self.cell)
        if table == width:
            return lines
        norms = None if chunk.norms is None else chunk.norms[window.row0 - chunk.row0 :][: len(window.numbers)]
        beside = norm_column(norms, heads_of(window, height), height, inks)
        return [[*left, *right] for left, right in zip(lines, beside, strict=True)]

    def _window(self, height: int) -> ValueWindow:
        """What is drawn of the part that was read."""
        chunk, shape = self._chunk, self._chunk.subject.plane.shape
        row, column = max(self._corner[0], chunk.row0), max(self._corner[1], chunk.column0)
        dtype, first = chunk.subject.record.dtype, chunk.subject.first
        rows, columns = capacity(self._table_width, height, dtype, shape, first=first[0])
        return ValueWindow(
            chunk.numbers[row - chunk.row0 :, column - chunk.column0 :][:rows, : columns + 1],
            row,
            column,
            shape,
            chunk.subject.row_labels[row : row + rows],
            chunk.subject.column_labels[column : column + columns + 1],
            first=first,
        )


def _span(rows: slice, columns: slice) -> tuple[int, int]:
    return rows.stop - rows.start, columns.stop - columns.start


def _into_view(first: int, place: int, room: int, length: int) -> int:
    """The first line of a view of `room` lines that holds `place`, moved as little as possible."""
    return max(0, min(max(first, place - room + 1), place, max(0, length - room)))
