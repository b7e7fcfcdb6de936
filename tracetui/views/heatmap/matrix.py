"""A matrix as coloured cells with axes, legend and crosshair: numbers, a size and a palette in, lines out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len
from rich.segment import Segment

from tracetui.views.cells import Line, fit
from tracetui.views.heatmap.axes import LabelledAxis, MapStyle, column_end, column_labels, row_end, row_labels
from tracetui.views.heatmap.ink import MARKS, OUTSIDE, RING, Brush
from tracetui.views.heatmap.layout import Plan, View
from tracetui.views.heatmap.legend import caption_line, legend_line, padded, pooled_words, title_line, value_text
from tracetui.views.heatmap.pyramid import Mask, Matrix, Pyramid, build
from tracetui.views.heatmap.scale import Scale, ScaleKind

Keys = npt.NDArray[np.uint32]


class Pyramids(Mapping[ScaleKind, Pyramid]):
    """One a scale, each made when it is first looked at: of a large matrix not where somebody waits."""

    def __init__(self, kinds: Sequence[ScaleKind], make: Callable[[ScaleKind], Pyramid]) -> None:
        self._kinds = tuple(kinds)
        self._make = make
        self._made: dict[ScaleKind, Pyramid] = {}

    def __getitem__(self, kind: ScaleKind) -> Pyramid:
        if kind not in self._kinds:
            raise KeyError(kind)
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]

    def __iter__(self) -> Iterator[ScaleKind]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def is_made(self, kind: ScaleKind) -> bool:
        """Whether looking at it costs nothing."""
        return kind in self._made


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class HeatmapData:
    """All that a heatmap shows of one matrix, made ready where nobody waits for it."""

    values: npt.NDArray[np.float32]
    """[T,S], read-only: what the crosshair reads."""
    pyramids: Mapping[ScaleKind, Pyramid]
    """By scale; none for an empty matrix."""
    rows: LabelledAxis
    columns: LabelledAxis
    title: str = ""
    notice: str = ""
    """What stands in place of a matrix that has no cells."""
    told: str = ""
    """Beside the title, and never cut: which head."""
    named: Callable[[int, int], str] | None = None
    """A cell's number in words, where it alone wouldn't say what it counts."""

    @property
    def empty(self) -> bool:
        return not self.pyramids

    @property
    def plan(self) -> Plan:
        row_label = max(self.rows.widest, cell_len(self.columns.name) + 1)
        return Plan(self.rows.length, self.columns.length, row_label, self.columns.widest, bool(self.title))

    def value(self, row: int, column: int) -> float:
        return float(self.values[row, column])


def heatmap_data(
    values: Matrix,
    rows: LabelledAxis,
    columns: LabelledAxis,
    *,
    masked: Mask | None = None,
    diverging: bool = False,
    kinds: Sequence[ScaleKind] = (ScaleKind.LINEAR,),
    title: str = "",
    told: str = "",
    scales: Mapping[ScaleKind, Scale] | None = None,
    shown: ScaleKind | None = None,
) -> HeatmapData:
    """The data of a matrix [T,S] of numbers; -inf and `masked` cells take no part.

    `scales` are for a matrix that stands beside others; without them its own numbers span them. `shown` is the one
    that is made at once; without it all are.
    Texts must be visible ones. Raises ValueError: axes that don't have the matrix's lengths.
    """
    if values.shape != (rows.length, columns.length):
        raise ValueError(f"a matrix {values.shape} doesn't have axes of {rows.length} and {columns.length}")
    if values.size == 0:
        return nothing("Nothing to show: the matrix has no cells", title)
    numbers = np.array(values, dtype=np.float32)  # [T,S]
    numbers.flags.writeable = False
    pyramids = Pyramids(kinds, lambda kind: build(numbers, masked, kind, diverging, (scales or {}).get(kind)))
    for kind in (shown,) if shown is not None and shown in kinds else kinds:
        pyramids[kind]
    return HeatmapData(numbers, pyramids, rows, columns, title, told=told)


def nothing(notice: str, title: str = "") -> HeatmapData:
    """Data without a matrix, and what to say instead."""
    none = np.zeros((0, 0), np.float32)
    return HeatmapData(none, MappingProxyType({}), LabelledAxis.of("", 0), LabelledAxis.of("", 0), title, notice)


EMPTY = nothing("Nothing to show yet")


def draw(
    data: HeatmapData,
    pyramid: Pyramid,
    view: View,
    brush: Brush,
    palette_name: str,
    look: MapStyle,
    steps: tuple[int, int] | None = None,
) -> list[Line]:
    """Every line of the screen, each exactly as wide as the layout.

    steps: how many rows and columns a pixel stands for, where cells are covered by a picture.
    """
    layout, width = view.layout, view.layout.width
    lines: list[Line] = []
    if layout.title:
        lines.append(title_line(data.title, data.told, pyramid.shape, width, look))
    lines += _axis_lines(data, view, look)
    keys = cell_keys(pyramid, view)
    cells = cell_lines(keys, brush)
    beside, pointed = (padded(line, layout.room - keys.shape[1], look) for line in ([], row_end(look)))
    pointed_line = view.rows.label_line(view.rows.cursor)
    for place, label in enumerate(row_labels(data.rows, view, look)):
        if place < len(cells):
            lines.append([*label, *cells[place], *(pointed if place == pointed_line else beside)])
        else:
            lines.append([*label, *(column_end(view, look) if place == len(cells) else padded([], layout.room, look))])
    if layout.legend:
        shown = (steps, "pixel") if steps else ((view.rows.step, view.columns.step), "cell")
        pooled = pooled_words(data.rows.name, data.columns.name, *shown)
        lines.append(legend_line(pyramid, brush, palette_name, pooled, width, look))
    cell = view.rows.cursor, view.columns.cursor
    value = data.named(*cell) if data.named else value_text(data.value(*cell), int(pyramid.levels[0][cell]))
    lines.append(caption_line(data.rows, data.columns, cell, value, width, look))
    return lines


def _axis_lines(data: HeatmapData, view: View, look: MapStyle) -> list[Line]:
    left = view.layout.left
    lines = [[Segment(" " * left, look.ground), *line] for line in column_labels(data.columns, view, look)]
    if left and lines:
        names = f"{data.rows.name} ↓ {data.columns.name} →", f"{data.columns.name} →", ""
        text = next(name for name in names if cell_len(name) < left)
        lines[-1][0] = Segment(fit(text, left - 1, right=True) + " ", look.muted)
    return lines


def cell_keys(pyramid: Pyramid, view: View) -> Keys:
    """The look of every character of the cells that are in sight: [lines, columns]."""
    rows, columns = view.rows, view.columns
    tile = pyramid.tile(rows.cells, rows.step, columns.cells, columns.step)
    row, column = rows.cursor // rows.step - rows.start, columns.cursor // columns.step - columns.start
    tile = tile.repeat(rows.size, axis=0).repeat(columns.size, axis=1)
    if len(tile) % 2:
        tile = np.vstack([tile, np.full((1, tile.shape[1]), OUTSIDE, np.uint8)])
    keys: Keys = tile[0::2].astype(np.uint32)  # [lines,columns]
    keys <<= 8
    keys |= tile[1::2]
    line, left = row * rows.size // 2, column * columns.size
    keys[line : line + max(1, rows.size // 2), left : left + columns.size] |= _outline(rows.size, columns.size) << 16
    return keys


def _outline(height: int, width: int) -> Keys:
    """The frame around a cell of so many pixels, by the index of each of its marks."""
    marks = np.zeros((max(1, height // 2), width), np.uint32)
    if height == 1 or width == 1:
        marks[:] = RING
    elif height == 2:
        marks[0, [0, -1]] = MARKS.index("["), MARKS.index("]")
    else:
        marks[:, [0, -1]] = MARKS.index("│")
        marks[[0, -1]] = MARKS.index("─")
        marks[0, [0, -1]] = MARKS.index("┌"), MARKS.index("┐")
        marks[-1, [0, -1]] = MARKS.index("└"), MARKS.index("┘")
    return marks


def cell_lines(keys: Keys, brush: Brush) -> list[Line]:
    """The lines of a table of looks, equal neighbours drawn as one segment."""
    lines, width = keys.shape
    starts = np.ones((lines, width), np.bool_)
    np.not_equal(keys[:, 1:], keys[:, :-1], out=starts[:, 1:])
    places = np.flatnonzero(starts)
    lengths = np.diff(places, append=keys.size).tolist()
    pairs = keys.reshape(-1)[places].tolist()
    ends = [int(end) for end in np.searchsorted(places, np.arange(1, lines + 1) * width)]
    first = [0, *ends[:-1]]
    return [brush.line(pairs[a:b], lengths[a:b]) for a, b in zip(first, ends, strict=True)]


def notice_lines(notice: str, width: int, height: int, look: MapStyle) -> list[Line]:
    """A sentence in the middle of an empty screen."""
    words = _wrapped(notice, max(1, width - 2))[:height]
    above = (height - len(words)) // 2
    lines: list[Line] = [[] for _ in range(height)]
    for place, text in enumerate(words):
        indent = max(0, (width - cell_len(text)) // 2)
        lines[above + place] = [Segment(" " * indent, look.ground), Segment(text, look.muted)]
    return [padded(line, width, look) for line in lines]


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and cell_len(joined) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return [line if cell_len(line) <= width else fit(line, width) for line in lines]
