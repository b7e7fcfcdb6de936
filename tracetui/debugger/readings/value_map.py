"""The matrix on view as a heatmap that shows which elements stand out: by decades, or up to where almost all lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from tracetui.analysis.distribution.bit_counts import BitCounter
from tracetui.analysis.distribution.blocks import BLOCK, as_floats
from tracetui.analysis.distribution.robust_range import RobustRange, robust_range
from tracetui.debugger.readings.planes import Plane
from tracetui.recording.value import Value
from tracetui.text import number
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.matrix import HeatmapData, nothing
from tracetui.views.heatmap.pyramid import Matrix, MatrixRows, Scale, ScaleKind, build

_HELD = 1 << 24
"""Elements up to which every number is held beside its colour; of more, only the one under the crosshair is read."""
_DECADES = 9
"""Most decades that the colours are spread over."""


@dataclass(frozen=True, eq=False, slots=True)
class ValueMap:
    """A matrix as a heatmap."""

    value: Value
    plane: Plane
    picture: HeatmapData
    cells: dict[tuple[int, int], str] = field(default_factory=dict)
    """What is known of single cells, where the picture doesn't hold their numbers."""

    def lacks(self, row: int, column: int) -> bool:
        """Whether the cell's number has to be read before it can be told."""
        return self.picture.named is not None and (row, column) not in self.cells

    def read_cell(self, row: int, column: int) -> str:
        """The number of a cell in words."""
        part = self.plane.read(self.value, slice(row, row + 1), slice(column, column + 1))
        return number(float(part[0, 0]), 5)


class PlaneRows:
    """The matrix of a value, of which no more than some rows are read at a time."""

    def __init__(self, value: Value, plane: Plane) -> None:
        self._value = value
        self._plane = plane

    @property
    def shape(self) -> tuple[int, int]:
        return self._plane.shape

    def __getitem__(self, rows: slice, /) -> Matrix:
        start, stop, _ = rows.indices(self.shape[0])
        numbers = self._plane.read(self._value, slice(start, stop), slice(0, self.shape[1]))
        with np.errstate(over="ignore"):
            return numbers.astype(np.float32)


def read_value_map(
    value: Value,
    plane: Plane,
    rows: LabelledAxis,
    columns: LabelledAxis,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> ValueMap:
    """The map of a matrix on both scales. Once it is cancelled it is empty. Raises NotKeptError."""
    source: Matrix | MatrixRows = PlaneRows(value, plane)
    is_held = plane.shape[0] * plane.shape[1] <= _HELD
    if is_held:
        source = source[: plane.shape[0]]
        source.flags.writeable = False
    span = None if 0 in plane.shape else _range_of(source, is_cancelled)
    if span is None:
        return ValueMap(value, plane, nothing("Nothing to show: the matrix has no finite elements"))
    pyramids = {
        kind: build(source, None, kind, span.is_diverging, scale) for kind, scale in _scales(source, span).items()
    }
    if isinstance(source, np.ndarray):
        return ValueMap(value, plane, HeatmapData(source, MappingProxyType(pyramids), rows, columns))
    cells: dict[tuple[int, int], str] = {}
    unread = np.broadcast_to(np.float32(np.nan), plane.shape)
    named = _named(cells)
    return ValueMap(value, plane, HeatmapData(unread, MappingProxyType(pyramids), rows, columns, named=named), cells)


def _named(cells: Mapping[tuple[int, int], str]) -> Callable[[int, int], str]:
    return lambda row, column: cells.get((row, column), "…")


def _blocks(source: Matrix | MatrixRows) -> Iterator[Matrix]:
    step = max(1, BLOCK // source.shape[1])
    for start in range(0, source.shape[0], step):
        block = source[start : start + step]
        yield block[np.isfinite(block)]


@dataclass(frozen=True, slots=True)
class _PlaneRange:
    """Of the finite elements."""

    low: float
    high: float
    robust: RobustRange

    @property
    def is_diverging(self) -> bool:
        """Whether zero gets the middle of the colours."""
        return self.low < 0

    @property
    def largest(self) -> float:
        return max(abs(self.low), abs(self.high))


def _range_of(source: Matrix | MatrixRows, is_cancelled: Callable[[], bool]) -> _PlaneRange | None:
    """None where there are no finite elements, and once it is cancelled."""
    bits, zeros, low, high = BitCounter(), 0, np.inf, -np.inf
    for finite in _blocks(source):
        if is_cancelled():
            return None
        if finite.size:
            bits.add(as_floats(finite))
            zeros += int((finite == 0).sum())
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return _PlaneRange(low, high, robust_range(bits.counts(), low, high, zeros)) if low <= high else None


def _scales(source: Matrix | MatrixRows, span: _PlaneRange) -> dict[ScaleKind, Scale | None]:
    """By decades from the size that half of the elements exceed; linear up to where almost all of them lie."""
    scales: dict[ScaleKind, Scale | None] = {ScaleKind.LINEAR: _linear(source, span) if span.robust.cut else None}
    if span.largest > 0:
        floor = min(max(span.robust.typical, span.largest / 10**_DECADES), span.largest / 10)
        low = -span.largest if span.is_diverging else floor
        scales[ScaleKind.LOG] = Scale(ScaleKind.LOG, low, span.largest, span.is_diverging, floor)
    return scales


def _linear(source: Matrix | MatrixRows, span: _PlaneRange) -> Scale:
    low, high = span.robust.low, span.robust.high
    if span.is_diverging:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    beyond = sum(int(((finite < low) | (finite > high)).sum()) for finite in _blocks(source))
    return Scale(ScaleKind.LINEAR, low, high, span.is_diverging, beyond=beyond)
