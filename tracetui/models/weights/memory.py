"""Memory for weights: apart from the heap in which what a run records stays."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from contextlib import suppress

import torch

_HUGE = 2**23
"""Bytes from which rounding up to pages of 2 MiB takes little more memory."""
LARGE = 2**16
"""Bytes from which a tensor has memory of its own: one expert of a narrow model has it too."""


def empty_weight(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """A tensor to be filled; when a large one is dropped, its memory goes back to the system at once.

    It begins at a multiple of 64 bytes, as all of torch's own do: on some CPUs the last bits of a matrix–vector product
    depend on where the matrix lies.

    In the heap a recorded tensor would settle in the hole that a weight leaves, too small then for the next weight, and
    the heap would grow by the next weight again.
    """
    numel = math.prod(shape)
    if numel * dtype.itemsize < LARGE:
        return torch.empty(tuple(shape), dtype=dtype)
    own = mmap.mmap(-1, numel * dtype.itemsize, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if len(own) >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        # A page of 4 KiB at a time the system takes as long to hand the memory over as the numbers take to be made.
        with suppress(OSError):
            own.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(own, dtype=dtype).view(tuple(shape))
