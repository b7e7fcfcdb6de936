"""How numbers are spread over the levels of a palette: between which ends, and in which steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from tracetui.views.palette import LEVELS

Numbers = npt.NDArray[Any]
Codes = npt.NDArray[np.uint8]


class ScaleKind(StrEnum):
    """How numbers are spread over the levels; the values are words of `--scale` and of notes of a session."""

    LINEAR = "linear"
    ROOT = "root"
    """By the square root, so that small shares of a whole are told apart."""
    LAYER = "layer"
    """Linear, up to the largest number of all heads of a layer."""
    LOG = "log"
    ROWS = "rows"
    """Linear, of each row up to its own largest."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The numbers at both ends of a palette, and how those between are spread."""

    kind: ScaleKind
    low: float
    high: float
    diverging: bool = False
    """Around zero: `low` is `-high`."""
    floor: float = 0.0
    """Log only: the smallest size told apart from zero."""
    beyond: int = 0
    """Numbers that lie beyond the ends, and are shown as these are."""
    spans: str = ""
    """Whose numbers both ends hold, where they aren't this matrix' own: `all heads`."""

    def level(self, code: int) -> int:
        """The palette's level for the code of a number."""
        if not self.diverging:
            return code - 1
        size = (code - 1) // 2
        return LEVELS // 2 + size if code % 2 == 0 else LEVELS // 2 - 1 - size

    def code(self, level: int) -> int:
        """The code of the numbers that have this level: the inverse of `level`."""
        if not self.diverging:
            return level + 1
        half = LEVELS // 2
        return 2 * (level - half) + 2 if level >= half else 2 * (half - 1 - level) + 1

    def codes(self, block: Numbers) -> Codes:
        """The codes of an array of any shape; -inf counts as masked, +inf is the highest number.

        By rows: of the shares that `pyramid.by_row` gives.
        """
        steps = LEVELS // 2 if self.diverging else LEVELS
        with np.errstate(all="ignore"):
            position = self._position(np.abs(block) if self.diverging else block)
            position *= steps
            np.maximum(position, 0, out=position)
            np.minimum(position, steps - 1, out=position)
            codes = position.astype(np.uint8)
        if self.diverging:
            codes *= 2
            codes += block >= 0
        codes += 1
        return codes

    def positions(self, block: Numbers) -> Numbers:
        """Where numbers lie between the ends, from 0 to 1; around zero from -1 to 1. NaN stays."""
        with np.errstate(all="ignore"):
            position = np.clip(self._position(np.abs(block) if self.diverging else block).astype(np.float64), 0, 1)
            return np.copysign(position, block) if self.diverging else position

    def number(self, position: float) -> float:
        """The number at a position: the inverse of `positions`."""
        size = abs(position)
        if self.kind is ScaleKind.LOG:
            return math.copysign(self.floor * (self.high / self.floor) ** size, position)
        bottom = 0.0 if self.diverging else self.low
        number = bottom + (size * size if self.kind is ScaleKind.ROOT else size) * (self.high - bottom)
        return math.copysign(number, position) if self.diverging else number

    def _position(self, block: Numbers) -> Numbers:
        """Where numbers lie between the ends, as a fraction, in an array of its own."""
        bottom = 0.0 if self.diverging else self.low
        span = self.high - bottom
        # float32 has neither the range for the widest spans nor a reciprocal for the narrowest.
        dtype = np.float32 if 1e-30 < span < 1e38 else np.float64
        if self.kind is ScaleKind.LOG:
            position = np.log(np.maximum(block, self.floor, dtype=dtype, casting="same_kind"))
            position -= math.log(self.floor)
            position *= 1 / math.log(self.high / self.floor)
            return position
        position = np.subtract(block, bottom, dtype=dtype, casting="same_kind")
        position *= 1 / span
        if self.kind is ScaleKind.ROOT:
            np.maximum(position, 0, out=position)
            np.sqrt(position, out=position)
        return position
