"""Asking the C library to keep the memory of freed tensors for the next ones.

Recorded tensors are not freed during a pass, so every new one would be fresh pages from the system, at a
page fault each. glibc keeps freed memory when told to; other C libraries are left alone.
"""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_HEAP_BLOCK = 32 * 2**20
"""glibc's own upper limit; larger blocks, whole weights above all, still go back at once."""
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Keep freed blocks of up to 32 MiB in the process. False where the C library has no such setting."""
    try:
        libc = ctypes.CDLL(None)
        mmap_set = libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_HEAP_BLOCK)
        return bool(mmap_set and libc.mallopt(_M_TRIM_THRESHOLD, _NEVER))
    except (OSError, AttributeError):
        return False


def give_back_memory() -> None:
    """Return what is kept but unused to the system; called when a trace was dropped."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
