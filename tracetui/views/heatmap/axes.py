"""The labels beside and above a heatmap: token texts where there is room, index ticks where there is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tracetui.views.cells import Line, fit
from tracetui.views.heatmap.layout import MapWindow, View

POINTER, POINTER_BACK, POINTER_DOWN, POINTER_UP = "▸◂▾▴"
"""Around the matrix they say where the crosshair stands: in it nothing does, for its colours are the data."""
_LOW = 10
"""Lines up to which each is labelled with all its rows."""


@dataclass(frozen=True, slots=True)
class MapStyle:
    """Styles of all that is text, each with its background."""

    ground: Style
    label: Style
    muted: Style
    crosshair: Style
    title: Style


@dataclass(frozen=True, slots=True)
class LabelledAxis:
    """One side of a matrix."""

    name: str
    """What a row or column is: `query`, `key`, `layer`, `expert`."""
    length: int
    labels: tuple[str, ...]
    """One a row or column, visible text; empty if the index says it all."""
    widest: int
    """Columns of the screen that the longest label takes."""
    first: int = 0
    """What the first row or column is counted as."""

    @classmethod
    def of(cls, name: str, length: int, labels: Sequence[str] = (), first: int = 0) -> LabelledAxis:
        """An axis; raises ValueError if there are labels, but not `length` of them."""
        if labels and len(labels) != length:
            raise ValueError(f"{name}: {len(labels)} labels for {length} places")
        widest = max(map(cell_len, labels), default=len(str(max(0, first + length - 1))))
        return cls(name, length, tuple(labels), widest, first)

    def label(self, index: int) -> str:
        return self.labels[index] if self.labels else str(index + self.first)


@dataclass(frozen=True, slots=True)
class _Mark:
    start: int
    text: str
    width: int
    style: Style


def row_labels(axis: LabelledAxis, view: View, look: MapStyle) -> Iterator[Line]:
    """What stands left of each line of cells, as wide as the layout's `left`."""
    width, rows = view.layout.labels, view.rows
    if not width:
        yield from ([] for _ in range(view.layout.lines))
        return
    marked, here = _row_texts(axis, rows, width), rows.label_line(rows.cursor)
    style = look.label if rows.size > 1 and axis.labels else look.muted
    for line in range(view.layout.lines):
        if line == here:
            pointed = f"{fit(axis.label(rows.cursor), width, right=True)}{POINTER}"
            yield [Segment(pointed, look.crosshair), Segment(" ", look.ground)]
        else:
            yield [Segment(f"{fit(marked.get(line, ''), width, right=True)}  ", style)]


def row_end(look: MapStyle) -> Line:
    """What stands behind the last cell of the crosshair's row."""
    return [Segment(POINTER_BACK, look.crosshair)]


def column_end(view: View, look: MapStyle) -> Line:
    """The line below the last cells, with what points at the crosshair's column."""
    columns = view.columns
    middle = columns.pixel(columns.cursor) + (columns.size - 1) // 2
    return _laid([_Mark(middle, POINTER_UP, 1, look.crosshair)], view.layout.room, look)


def _row_texts(axis: LabelledAxis, rows: MapWindow, width: int) -> dict[int, str]:
    """The texts by line: every row's label when enlarged, both ends of each line of a low map, else ticks apart."""
    if rows.size > 1:
        return {rows.label_line(row): axis.label(row) for row in rows.cells}
    pairs = {} if axis.labels or len(rows.cells) > _LOW * 2 * rows.step else _pairs(axis, rows)
    if pairs and max(map(len, pairs.values())) <= width:
        return pairs
    ticks = _round(rows, tick_step(6 * rows.step), axis.first)
    return {rows.label_line(row): str(row + axis.first) for row in ticks}


def _pairs(axis: LabelledAxis, rows: MapWindow) -> dict[int, str]:
    """By line the first and the last row that are drawn in it: `3–4`."""
    firsts = rows.cells[:: 2 * rows.step]
    ends = ((first, min(first + 2 * rows.step, rows.length) - 1) for first in firsts)
    return {
        line: str(a + axis.first) if a == b else f"{a + axis.first}–{b + axis.first}"
        for line, (a, b) in enumerate(ends)
    }


def _round(window: MapWindow, every: int, first: int) -> range:
    """The cells in sight whose count, from `first` on, is a multiple of `every`."""
    return range(-(-(window.cells.start + first) // every) * every - first, window.cells.stop, every)


def column_labels(axis: LabelledAxis, view: View, look: MapStyle) -> list[Line]:
    """The layout's `axis` lines above the cells, each as wide as its `room`."""
    layout = view.layout
    if layout.texts:
        marks = [_texts(axis, view, look, line) for line in range(layout.axis)]
    else:
        marks = [_ticks(axis, view.columns, look)][: layout.axis]
    return [_laid(line, layout.room, look) for line in marks]


def _texts(axis: LabelledAxis, view: View, look: MapStyle, line: int) -> list[_Mark]:
    """The labels of every column, or of every second one where two lines share them."""
    columns, lines = view.columns, view.layout.axis
    marks = []
    for column in columns.cells[line::lines]:
        here = column == columns.cursor
        style = look.crosshair if here else look.label
        text, width = f"{POINTER_DOWN if here else ''}{axis.label(column)}", lines * columns.size - 1
        marks.append(_Mark(columns.pixel(column), fit(text, width) if cell_len(text) > width else text, width, style))
    return marks


def _ticks(axis: LabelledAxis, columns: MapWindow, look: MapStyle) -> list[_Mark]:
    """Indices at round distances, and the whole label of the crosshair's column, which goes before them."""
    apart = len(str(axis.length)) + 2
    text, place = axis.label(columns.cursor), columns.pixel(columns.cursor)
    if place + 1 + cell_len(text) > columns.room and place > columns.room // 2:
        text = f"{fit(text, min(cell_len(text), place))}{POINTER_DOWN}"
        start = place + 1 - cell_len(text)
    else:
        text, start = f"{POINTER_DOWN}{text}", place
    cells = min(cell_len(text), columns.room - start)
    marks = [_Mark(start, fit(text, cells), cells, look.crosshair)]
    for column in _round(columns, tick_step(-(-apart * columns.step // columns.size)), axis.first):
        at, name = columns.pixel(column), str(column + axis.first)
        end = at + len(name)
        if end <= columns.room and (end < start or at > start + cells):
            marks.append(_Mark(at, name, len(name), look.muted))
    return sorted(marks, key=lambda mark: mark.start)


def _laid(marks: Sequence[_Mark], width: int, look: MapStyle) -> Line:
    """One line with every mark at its place."""
    line: Line = []
    at = 0
    for mark in marks:
        text = fit(mark.text, min(cell_len(mark.text), mark.width, max(0, width - mark.start)))
        line += [Segment(" " * (mark.start - at), look.ground), Segment(text, mark.style)]
        at = mark.start + cell_len(text)
    return [*line, Segment(" " * max(0, width - at), look.ground)]


def tick_step(least: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, … that is at least `least`."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= least:
                return digit * power
        power *= 10
