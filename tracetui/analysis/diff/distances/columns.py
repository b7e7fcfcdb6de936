"""Elements that are far off for their row, but not for their channel: a channel that is huge has huge rounding."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.distances.rows import Floats, RowLayout, RowScales
from tracetui.analysis.diff.rounding.tolerance import Tolerance
from tracetui.recording.value import Array, Value

_MOST = 1 << 12
"""Rows that are looked at again."""


def far_for_columns(
    a: Value, b: Value, layout: RowLayout, rows: npt.NDArray[np.intp], known: RowScales, tolerance: Tolerance
) -> int:
    """How many of `rows` have an element that is far off even for its channel's size in B; reads B once more.

    A channel's size is its root mean square over the rows, longer ones than the median brought down to it.
    """
    if not 0 < rows.size <= _MOST or layout.rows < 2 or layout.leading != len(layout.shape) - 1:
        return int(rows.size)
    columns = _columns(b, layout, known)
    if columns is None:
        return int(rows.size)
    own = known.scales[rows] / math.sqrt(layout.width)
    count = 0
    for row, scale in zip(rows.tolist(), own.tolist(), strict=True):
        index = layout.index(row)
        x, y = _wide(a.read(index)), _wide(b.read(index))
        difference = np.abs(x - y)
        allowed = tolerance.per_row * np.maximum(columns, scale) + tolerance.rtol * np.abs(y)
        count += bool((difference[np.isfinite(difference)] > tolerance.slack * allowed[np.isfinite(difference)]).any())
    return count


def _columns(b: Value, layout: RowLayout, known: RowScales) -> Floats | None:
    """The size of each channel [width]; None where rows are too long to be read whole."""
    long = known.norms > known.usual
    weights = np.divide(known.usual, known.norms, out=np.ones_like(known.norms), where=long)
    squares, seen = np.zeros(layout.width), 0
    for index, begins in layout.blocks():
        block = b.read(index).reshape(-1)
        if not begins or block.size < layout.width:
            return None
        part = np.abs(_wide(block)).reshape(-1, layout.width)
        part = np.where(np.isfinite(part), part, 0.0) * weights[seen : seen + len(part), None]
        squares += np.einsum("ij,ij->j", part, part)
        seen += len(part)
    sizes: Floats = np.sqrt(squares / max(1, int(np.count_nonzero(known.norms))))
    return sizes


def _wide(block: Array) -> Array:
    return block.astype(np.complex128 if block.dtype.kind == "c" else np.float64, copy=False)
