"""The round numbers beside a picture's colours."""

from __future__ import annotations

import math

import numpy as np

from tracetui.text import number
from tracetui.views.heatmap.scale import Scale, ScaleKind

_MOST = 6


def scale_ticks(scale: Scale) -> tuple[list[float], list[str]]:
    """Positions along the colours, from 0 or -1 to 1, and what stands there."""
    numbers = _numbers(scale)
    return scale.positions(np.array(numbers)).tolist(), [number(each) for each in numbers]


def _numbers(scale: Scale) -> list[float]:
    low, high = scale.low, scale.high
    if scale.kind is ScaleKind.LOG:
        sizes = _decades(scale.floor, high)
        return [*(-each for each in reversed(sizes)), *sizes] if scale.diverging else sizes
    if scale.kind is ScaleKind.ROOT and low == 0:
        return [high * share for share in (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)]
    from matplotlib.ticker import MaxNLocator

    ticks = [float(tick) for tick in MaxNLocator(_MOST).tick_values(low, high)]
    return [tick for tick in ticks if low <= tick <= high] or [low, high]


def _decades(floor: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(floor) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = [10.0**power for power in range(first, last + 1)]
    return decades[:: max(1, len(decades) // _MOST)] or [floor, high]
