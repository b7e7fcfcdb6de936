"""The largest of every 1, 2, 4, … numbers in a row, kept while numbers are added at its end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class MaxPyramid:
    """One thread adds; any may read what was there when it asked for `count`. -inf stands for no number."""

    def __init__(self) -> None:
        self._levels: list[Floats] = [np.full(1, -np.inf)]
        self.count = 0

    def extend(self, numbers: Floats) -> None:
        """Add numbers [n]. O(n + log count)."""
        first, count = self.count, self.count + len(numbers)
        self._reserve(count)
        self._levels[0][first:count] = numbers
        for level in range(1, len(self._levels)):
            low, high = first >> level, ((count - 1) >> level) + 1
            below = self._levels[level - 1][2 * low : 2 * high]
            self._levels[level][low:high] = below.reshape(-1, 2).max(axis=1)
        self.count = count

    def _reserve(self, count: int) -> None:
        """Room for so many numbers on every level; a level's room is twice that of the next, so pairs are whole."""
        room = len(self._levels[0])
        while room < count:
            room *= 2
            # A new list: whoever reads goes on with the old one.
            wider = [_padded(level, 2 * len(level)) for level in self._levels]
            self._levels = [*wider, wider[-1].reshape(-1, 2).max(axis=1)]

    def maxima(self, edges: Ints, level: int) -> Floats:
        """The largest number between each two successive edges [n + 1], which are multiples of 2**level but the last.

        O(numbers of that level between them).
        """
        numbers = self._levels[level]
        end = (int(edges[-1]) + (1 << level) - 1) >> level
        return np.maximum.reduceat(numbers[:end], edges[:-1] >> level)  # [n]

    def largest_in(self, first: int, end: int) -> int:
        """Where the largest number from `first` to before `end` is."""
        return first + int(self._levels[0][first:end].argmax())

    def __getitem__(self, index: int) -> float:
        return float(self._levels[0][index])


def _padded(numbers: Floats, length: int) -> Floats:
    longer: Floats = np.full(length, -np.inf)
    longer[: len(numbers)] = numbers
    return longer
