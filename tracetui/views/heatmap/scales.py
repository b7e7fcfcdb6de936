"""Scales for matrices with outliers: linear up to where almost all numbers lie, or by decades up to the largest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.distribution.bit_counts import BitCounter
from tracetui.analysis.distribution.blocks import BLOCK, as_floats
from tracetui.analysis.distribution.robust_range import RobustRange, robust_range
from tracetui.views.heatmap.pyramid import Matrix, MatrixRows, common_scale
from tracetui.views.heatmap.scale import Scale, ScaleKind

_DECADES = 9
"""Most decades that the colours are spread over."""


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Of the finite numbers of one or several matrices."""

    low: float
    high: float
    robust: RobustRange

    @property
    def largest(self) -> float:
        return max(abs(self.low), abs(self.high))


def number_range(
    matrices: Sequence[Matrix | MatrixRows], is_cancelled: Callable[[], bool] = lambda: False
) -> NumberRange | None:
    """None where no number is finite, and once it is cancelled."""
    bits, zeros, low, high = BitCounter(), 0, np.inf, -np.inf
    for finite in _finite(matrices):
        if is_cancelled():
            return None
        if finite.size:
            bits.add(as_floats(finite))
            zeros += int((finite == 0).sum())
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return NumberRange(low, high, robust_range(bits.counts(), low, high, zeros)) if low <= high else None


def outlier_scales(
    matrices: Sequence[Matrix | MatrixRows], numbers: NumberRange, diverging: bool
) -> dict[ScaleKind, Scale]:
    """By decades from the size that half of the numbers exceed; linear up to where almost all of them lie.

    diverging: around zero. There are no decades where all numbers are zero.
    """
    scales = {ScaleKind.LINEAR: _linear(matrices, numbers, diverging)}
    if numbers.largest > 0:
        floor = min(max(numbers.robust.typical, numbers.largest / 10**_DECADES), numbers.largest / 10)
        low = -numbers.largest if diverging else floor
        scales[ScaleKind.LOG] = Scale(ScaleKind.LOG, low, numbers.largest, diverging, floor)
    return scales


def counted(scale: Scale, matrix: Matrix | MatrixRows) -> Scale:
    """The scale for one of the matrices, with how many of its numbers lie beyond."""
    if scale.kind in (ScaleKind.LOG, ScaleKind.ROWS):
        return scale
    return replace(
        scale, beyond=sum(int(((each < scale.low) | (each > scale.high)).sum()) for each in _finite([matrix]))
    )


def _linear(matrices: Sequence[Matrix | MatrixRows], numbers: NumberRange, diverging: bool) -> Scale:
    low, high = numbers.robust.low, numbers.robust.high
    if not numbers.robust.cut:
        return common_scale(matrices, ScaleKind.LINEAR, diverging)
    if diverging:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return Scale(ScaleKind.LINEAR, low, high, diverging)


def _finite(matrices: Sequence[Matrix | MatrixRows]) -> Iterator[Matrix]:
    for matrix in matrices:
        step = max(1, BLOCK // matrix.shape[1])
        for start in range(0, matrix.shape[0], step):
            block = matrix[start : start + step]
            yield block[np.isfinite(block)]
