"""Memory for weights: apart from the heap in which what a run records stays."""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import local

import torch

_HUGE = 2**23
"""Bytes from which rounding up to pages of 2 MiB takes little more memory."""
_HUGEST = 2**28
"""Bytes from which a weight decides how much memory a run takes at most."""
REUSED = 2**29
"""Bytes of a weight whose memory may wait for the next one: a larger one decides how much memory a run takes."""
LARGE = 2**16
"""Bytes from which a tensor has memory of its own: one expert of a narrow model has it too."""


def empty_weight(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """A tensor to be filled; when a large one is dropped, its memory goes back to the system at once.

    It begins at a multiple of 64 bytes, as all of torch's own do: on some CPUs the last bits of a matrix–vector product
    depend on where the matrix lies.

    In the heap a recorded tensor would settle in the hole that a weight leaves, too small then for the next weight, and
    the heap would grow by the next weight again.
    """
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < LARGE:
        return torch.empty(tuple(shape), dtype=dtype)
    reused: ReusedMemory | None = getattr(_here, "reused", None)
    own = _mapped(nbytes) if reused is None else reused.take(nbytes)
    return torch.frombuffer(own, dtype=dtype, count=nbytes // dtype.itemsize).view(tuple(shape))


class ReusedMemory:
    """Memory of weights that were dropped, for the next ones.

    The system zeroes each page that it hands out: for weights made one after the other that takes as long as
    multiplying by them.
    """

    def __init__(self) -> None:
        self._maps: list[mmap.mmap] = []

    def take(self, nbytes: int) -> mmap.mmap:
        """Memory of at least that size that no tensor uses any more, or else new memory."""
        # Whatever still looks at a weight holds its memory: then there are more references than those of this loop.
        is_unused = [sys.getrefcount(own) == _OWN_REFERENCES for own in self._maps]
        enough = [own for own, free in zip(self._maps, is_unused, strict=True) if free and len(own) >= nbytes]
        if enough:
            return min(enough, key=len)
        # What is too small now would be there beside the new one.
        self._maps = [own for own, free in zip(self._maps, is_unused, strict=True) if not free]
        made = _mapped(nbytes)
        if nbytes <= REUSED:
            self._maps.append(made)
        return made

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(map(len, self._maps))

    def release(self) -> None:
        """Give back what no tensor uses; the rest goes with its tensors."""
        self._maps.clear()

    @contextmanager
    def used(self) -> Iterator[None]:
        """For the length of a `with`, weights that this thread makes lie in it."""
        _here.reused = self
        try:
            yield
        finally:
            _here.reused = None


_OWN_REFERENCES = 3
"""Of memory that no tensor uses: by the list, by the loop over it, and by the question itself."""
_here = local()


def _mapped(nbytes: int) -> mmap.mmap:
    if nbytes >= _HUGEST:
        give_back_memory()
    own = mmap.mmap(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if len(own) >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        # A page of 4 KiB at a time the system takes as long to hand the memory over as the numbers take to be made.
        with suppress(OSError):
            own.madvise(mmap.MADV_HUGEPAGE)
    return own


def give_back_memory() -> None:
    """Return to the system what the C library keeps but nobody uses, where it does."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
