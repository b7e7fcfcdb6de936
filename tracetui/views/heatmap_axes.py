"""The labels beside and above a heatmap: token texts where there is room, index ticks where there is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tracetui.views.cells import Line, fit
from tracetui.views.heatmap_layout import View
from tracetui.views.pyramid import pixels, pooled

POINTER = "▸"


@dataclass(frozen=True, slots=True)
class Look:
    """Styles of all that is text, each with its background."""

    ground: Style
    label: Style
    muted: Style
    crosshair: Style
    title: Style


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of a matrix."""

    name: str
    """What a row or column is: `query`, `key`, `layer`, `expert`."""
    length: int
    labels: tuple[str, ...]
    """One a row or column, visible text; empty if the index says it all."""
    widest: int
    """Columns of the screen that the longest label takes."""

    @classmethod
    def of(cls, name: str, length: int, labels: Sequence[str] = ()) -> Axis:
        """An axis; raises ValueError if there are labels, but not `length` of them."""
        if labels and len(labels) != length:
            raise ValueError(f"{name}: {len(labels)} labels for {length} places")
        widest = max(map(cell_len, labels), default=len(str(max(0, length - 1))))
        return cls(name, length, tuple(labels), widest)

    def label(self, index: int) -> str:
        return self.labels[index] if self.labels else str(index)


@dataclass(frozen=True, slots=True)
class _Mark:
    start: int
    text: str
    width: int
    style: Style


def row_labels(axis: Axis, view: View, look: Look) -> Iterator[Line]:
    """What stands left of each line of cells, as wide as the layout's `left`."""
    width, size, step = view.layout.labels, pixels(view.layout.zoom), pooled(view.layout.zoom)
    if not width:
        yield from ([] for _ in range(view.layout.lines))
        return
    marked = _row_texts(axis, view)
    here = ((view.row // step - view.top) * size + max(0, size - 2) // 2) // 2
    for line in range(view.layout.lines):
        if line == here:
            yield [
                Segment(f"{fit(axis.label(view.row), width, right=True)}{POINTER}", look.crosshair),
                Segment(" ", look.ground),
            ]
        else:
            style = look.label if size > 1 and axis.labels else look.muted
            yield [Segment(f"{fit(marked.get(line, ''), width, right=True)}  ", style)]


def _row_texts(axis: Axis, view: View) -> dict[int, str]:
    """The texts by line: every row's label when enlarged, else ticks three lines apart or more."""
    size, step = pixels(view.layout.zoom), pooled(view.layout.zoom)
    last = min(axis.length, (view.top + view.layout.shown_rows) * step)
    if size > 1:
        return {(row - view.top) * size // 2 + (size - 2) // 4: axis.label(row) for row in range(view.top, last)}
    every = tick_step(6 * step)
    first = -(-view.top * step // every) * every
    return {(row // step - view.top) // 2: str(row) for row in range(first, last, every)}


def column_labels(axis: Axis, view: View, look: Look) -> list[Line]:
    """The layout's `axis` lines above the cells, each as wide as its `room`."""
    layout, size, step = view.layout, pixels(view.layout.zoom), pooled(view.layout.zoom)
    shown = min(axis.length, (view.left + layout.shown_columns) * step)
    lines: list[Line] = []
    for line in range(layout.axis):
        if layout.texts:
            marks = _texts(axis, view, look, range(view.left, shown), line)
        else:
            marks = _ticks(axis, view, look, shown, size, step) if line == layout.axis - 1 else []
        lines.append(_laid(marks, layout.room, look))
    return lines


def _texts(axis: Axis, view: View, look: Look, columns: range, line: int) -> list[_Mark]:
    """The labels of every column, or of every second one where two lines share them."""
    size, lines = pixels(view.layout.zoom), view.layout.axis
    marks = []
    for column in columns:
        if (column - view.left) % lines == line:
            style = look.crosshair if column == view.column else look.label
            start, width = (column - view.left) * size, lines * size - 1
            text = axis.label(column)
            marks.append(_Mark(start, fit(text, width) if cell_len(text) > width else text, width, style))
    return marks


def _ticks(axis: Axis, view: View, look: Look, shown: int, size: int, step: int) -> list[_Mark]:
    """Indices at round distances, and the whole label of the crosshair's column, which goes before them."""
    width = len(str(axis.length)) + 2
    every = tick_step(-(-width * step // size))
    first = -(-view.left * step // every) * every
    text = axis.label(view.column)
    taken = min(cell_len(text), view.layout.room)
    start = min((view.column // step - view.left) * size, view.layout.room - taken)
    marks = [_Mark(start, fit(text, taken), taken, look.crosshair)]
    for column in range(first, shown, every):
        at = (column // step - view.left) * size
        end = at + len(str(column))
        if end <= view.layout.room and (end < start or at > start + taken):
            marks.append(_Mark(at, str(column), len(str(column)), look.muted))
    return sorted(marks, key=lambda mark: mark.start)


def _laid(marks: Sequence[_Mark], width: int, look: Look) -> Line:
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
