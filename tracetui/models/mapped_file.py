"""Weight files mapped into memory: views of them, copies in pieces, and whether they are still the same."""

from __future__ import annotations

import ctypes
import mmap
import sys
from contextlib import suppress
from pathlib import Path

import torch

from tracetui.errors import InputError, RunError
from tracetui.models.sources import Tick
from tracetui.models.weight_memory import ALIGNMENT, empty_weight
from tracetui.paths import open_regular

_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
"""Named by Python from 3.13 on."""
_COPY_BYTES = 32 * 2**20
"""How much is copied between two looks at whether the run was cancelled."""

_KEPT_BYTES = 64 * 2**20
"""Of what was read, how much may stay in the process's memory."""
_DONTNEED = getattr(mmap, "MADV_DONTNEED", None)

Identity = tuple[int, int, int]
"""What tells one state of a file from another."""


def map_file(path: Path) -> mmap.mmap:
    """The whole file, readable and privately writable, without a claim on memory. Raises InputError."""
    with open_regular(path) as file:
        try:
            return mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(f"{path}: can't be mapped into memory: {reason}") from error


def identity(path: Path) -> Identity | None:
    """The state of a file; None if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def check_unchanged(path: Path, before: Identity | None) -> None:
    """Raise RunError if a file is not as it was: reading what was cut off would end the process."""
    if identity(path) != before:
        raise RunError(f"{path}: was changed or removed while it was in use; start again")


class Pages:
    """Gives back the memory that reading mapped tensors took: what lies in a file can be read from there again.

    Without it a process seems to hold, and in a container does hold, every weight that it ever streamed.
    """

    def __init__(self) -> None:
        self._read: list[torch.Tensor] = []
        self._bytes = 0

    def reading(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same view of a mapped file, about to be read; what was read before goes once it is much."""
        if self._bytes > _KEPT_BYTES:
            for before in self._read:
                _give_back(before)
            self._read.clear()
            self._bytes = 0
        self._read.append(tensor)
        self._bytes += tensor.nbytes
        return tensor


def _give_back(tensor: torch.Tensor) -> None:
    """Unload the pages that lie wholly in a mapped tensor; used again, they come from the file."""
    first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - first
    if _DONTNEED is not None and length > 0 and tensor.is_contiguous():
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), _DONTNEED)


def readable_as_it_lies(tensor: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether a view of the file serves as it is: writers put tensors at any byte, torch at multiples of 64.

    The last bits of a matrix–vector product depend, on some CPUs, on where the matrix lies.
    """
    aligned = tensor.data_ptr() % ALIGNMENT == 0
    return tensor.dtype == dtype and tensor.is_contiguous() and aligned


def copied(tensor: torch.Tensor, order: torch.Tensor | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
    """The rows `order` of a tensor, all of them unless given, in another dtype, copied piece by piece."""
    if not tensor.dim():
        tick(dtype.itemsize)
        return tensor.to(dtype, copy=True)
    rows = len(tensor) if order is None else len(order)
    out = empty_weight((rows, *tensor.shape[1:]), dtype)
    step = max(1, _COPY_BYTES // max(1, tensor[:1].numel() * dtype.itemsize))
    for start in range(0, rows, step):
        piece = slice(start, start + step)
        out[piece] = tensor[piece] if order is None else tensor.index_select(0, order[piece])
        tick(out[piece].numel() * dtype.itemsize)
    return out
