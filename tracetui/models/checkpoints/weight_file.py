"""Weight files that are read, piece by piece, and whether they are still the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tracetui.errors import FileChangedError, RunError
from tracetui.file_state import FileState, check_unchanged, settled_state
from tracetui.models.weights.memory import empty_weight
from tracetui.models.weights.sources import Tick
from tracetui.paths import open_regular

_PIECE_BYTES = 32 * 2**20
"""How much is read between two looks at whether the run was cancelled."""
_AGAIN = "run it again"


class WeightFile:
    """A file as it was when this was made.

    It is never mapped: a map shows what is written later, and touching what was cut off ends the process.
    """

    def __init__(self, path: Path, state: FileState | None = None) -> None:
        """state: the file's from before its header was read; the present one if it isn't read yet."""
        self.path = path
        self._state = settled_state(path) if state is None else state

    def check(self) -> None:
        """Raise FileChangedError if the file was written, replaced or removed."""
        check_unchanged(self.path, self.path, self._state, _AGAIN)

    @property
    def is_changed(self) -> bool:
        """Whether it was."""
        try:
            self.check()
        except FileChangedError:
            return True
        return False

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer with the file's bytes from an offset on. Raises FileChangedError and RunError."""
        self.check()
        with open_regular(self.path) as file:
            done = 0
            while done < len(buffer):
                try:
                    count = os.preadv(file.fileno(), [buffer[done:]], offset + done)
                except OSError as error:
                    raise RunError(f"{self.path}: can't be read: {error.strerror or error}") from error
                if not count:
                    raise FileChangedError(self.path, _AGAIN)
                done += count
            # Written while it was read, it would be of both.
            check_unchanged(self.path, file.fileno(), self._state, _AGAIN)


@dataclass(frozen=True, eq=False, slots=True)
class StoredTensor:
    """A tensor in a weight file; what is read of it is the reader's own memory, with elements side by side."""

    file: WeightFile
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    """The byte of its first element."""
    strides: tuple[int, ...] | None = None
    """In elements; None if they lie side by side."""

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def content(self) -> bytes:
        """Its bytes, of a tensor whose elements lie side by side."""
        buffer = bytearray(self.nbytes)
        self.file.read_into(memoryview(buffer), self.start)
        return bytes(buffer)

    def whole(self) -> torch.Tensor:
        """All of it, in its own dtype."""
        return self.converted(None, self.dtype, lambda made: None)

    def pieces(self) -> Iterator[torch.Tensor]:
        """All of it, a few rows at a time."""
        if not self.shape:
            yield self.whole()
            return
        step = self._rows_of_piece(self.dtype)
        for first in range(0, self.shape[0], step):
            yield self.take(range(first, min(first + step, self.shape[0])))

    def converted(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        """The tensor, or the named rows of it in that order, in another dtype."""
        if not self.shape:
            tick(dtype.itemsize)
            return self._spread().to(dtype)
        order: Sequence[int] = range(self.shape[0]) if rows is None else rows
        out = empty_weight((len(order), *self.shape[1:]), dtype)
        step = self._rows_of_piece(dtype) if self._has_whole_rows() else max(1, len(order))
        for first in range(0, len(order), step):
            part = out[first : first + step]
            if dtype == self.dtype:
                self._take_into(part, order[first : first + step])
            else:
                part.copy_(self.take(order[first : first + step]))
            tick(part.numel() * dtype.itemsize)
        return out

    def take(self, rows: Sequence[int]) -> torch.Tensor:
        """The named rows, in that order, in the tensor's own dtype."""
        out = empty_weight((len(rows), *self.shape[1:]), self.dtype)
        self._take_into(out, rows)
        return out

    def _rows_of_piece(self, dtype: torch.dtype) -> int:
        return max(1, _PIECE_BYTES // max(1, prod(self.shape[1:]) * dtype.itemsize))

    def _has_whole_rows(self) -> bool:
        """Whether the elements of a row lie side by side."""
        if self.strides is None:
            return True
        beside = [*accumulate(self.shape[:0:-1], lambda size, length: size * length, initial=1)][-2::-1]
        pairs = zip(self.shape[1:], self.strides[1:], beside, strict=True)
        return all(length == 1 or stride == wanted for length, stride, wanted in pairs)

    def _take_into(self, out: torch.Tensor, rows: Sequence[int]) -> None:
        """Read rows into a tensor of theirs whose elements lie side by side."""
        if not out.numel():
            return
        if not self._has_whole_rows():
            out.copy_(self._spread()[list(rows)])
            return
        row = prod(self.shape[1:]) * self.dtype.itemsize
        stride = row if self.strides is None else self.strides[0] * self.dtype.itemsize
        wanted = np.asarray(rows, np.int64)
        first, last = int(wanted.min()), int(wanted.max())
        is_in_order = len(wanted) == last - first + 1 and bool((np.diff(wanted) == 1).all())
        if stride == row and not is_in_order and last - first < 2 * len(wanted):
            # All but a few of them: read at once, then put in order.
            near = self.take(range(first, last + 1)).view(last - first + 1, -1).view(torch.uint8)
            torch.index_select(near, 0, torch.from_numpy(wanted - first), out=out.view(len(out), -1).view(torch.uint8))
            return
        flat = _bytes(out)
        for place, at, count in _runs(wanted, stride == row):
            self.file.read_into(flat[place * row : (place + count) * row], self.start + at * stride)

    def _spread(self) -> torch.Tensor:
        """The tensor as it lies, with what lies between its elements."""
        strides = self.strides or ()
        reach = 1 + sum((length - 1) * stride for length, stride in zip(self.shape, strides, strict=True))
        flat = empty_weight((reach,), self.dtype)
        self.file.read_into(_bytes(flat), self.start)
        return flat.as_strided(self.shape, strides)


def _runs(rows: npt.NDArray[np.int64], together: bool) -> Iterator[tuple[int, int, int]]:
    """Rows that follow each other: the place among all of them, the first and how many; else each alone."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1 if together else np.arange(1, len(rows))
    places = [0, *breaks.tolist(), len(rows)]
    for place, following in pairwise(places):
        yield place, int(rows[place]), following - place


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data
