"""The matrix on view as a heatmap that shows which elements stand out: by decades, or up to where almost all lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from tracetui.debugger.readings.planes import Plane
from tracetui.recording.value import Value
from tracetui.text import number
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.matrix import HeatmapData, nothing
from tracetui.views.heatmap.pyramid import Matrix, MatrixRows, build
from tracetui.views.heatmap.scales import counted, number_range, outlier_scales

_HELD = 1 << 24
"""Elements up to which every number is held beside its colour; of more, only the one under the crosshair is read."""


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
    numbers = None if 0 in plane.shape else number_range([source], is_cancelled)
    if numbers is None:
        return ValueMap(value, plane, nothing("Nothing to show: the matrix has no finite elements"))
    diverging = numbers.low < 0
    scales = outlier_scales([source], numbers, diverging)
    pyramids = {kind: build(source, None, kind, diverging, counted(scale, source)) for kind, scale in scales.items()}
    if isinstance(source, np.ndarray):
        return ValueMap(value, plane, HeatmapData(source, MappingProxyType(pyramids), rows, columns))
    cells: dict[tuple[int, int], str] = {}
    unread = np.broadcast_to(np.float32(np.nan), plane.shape)
    named = _named(cells)
    return ValueMap(value, plane, HeatmapData(unread, MappingProxyType(pyramids), rows, columns, named=named), cells)


def _named(cells: Mapping[tuple[int, int], str]) -> Callable[[int, int], str]:
    return lambda row, column: cells.get((row, column), "…")
