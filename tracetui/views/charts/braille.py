"""Lines drawn in braille dots, two across and four down in every cell."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Dots = npt.NDArray[np.int64]

_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
"""The bit of each dot in a braille character's code. [4 rows, 2 columns]"""


def polyline(xs: Floats, ys: Floats, width: int, rows: int) -> list[list[str]]:
    """Characters [rows][width] of a line through points [points] given in dots; it breaks where y is NaN.

    The line is whole: successive dots touch, also where it is steep.
    """
    dots = np.zeros((rows * 4, width * 2), bool)  # [4·rows, 2·width]
    for part in _unbroken(ys):
        x, y = _walk(xs[part], ys[part])
        dots[np.clip(y, 0, rows * 4 - 1), np.clip(x, 0, width * 2 - 1)] = True
    cells = dots.reshape(rows, 4, width, 2) * _BITS[:, None, :]  # [rows, 4, width, 2]
    codes = cells.sum(axis=(1, 3))  # [rows, width]
    return [[chr(0x2800 + code) if code else " " for code in row] for row in codes.tolist()]


def _unbroken(ys: Floats) -> list[slice]:
    """The stretches without a NaN, none of them empty."""
    known = np.concatenate([[False], ~np.isnan(ys), [False]])
    ends = np.flatnonzero(known[1:] != known[:-1])
    return [slice(start, stop) for start, stop in ends.reshape(-1, 2).tolist()]


def _walk(xs: Floats, ys: Floats) -> tuple[Dots, Dots]:
    """Every dot on the way through the points."""
    steps = np.maximum(np.abs(np.diff(xs)), np.abs(np.diff(ys)))
    way = np.concatenate([[0.0], np.cumsum(steps)])  # [points]
    at = np.linspace(0.0, way[-1], 2 * math.ceil(way[-1]) + 1)
    return np.rint(np.interp(at, way, xs)).astype(np.int64), np.rint(np.interp(at, way, ys)).astype(np.int64)
