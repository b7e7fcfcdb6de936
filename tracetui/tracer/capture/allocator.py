"""Process-wide settings that make recording cheap.

Recorded tensors are not freed during a pass, so every new one would be fresh pages from the system, at a
page fault each. glibc keeps freed memory when told to; other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
import gc
from functools import cache

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_NEVER = 2**31 - 1
_LARGEST_KEPT = 2**23
"""Bytes. What is larger goes back when freed: kernels copy weights for a moment, and where such a copy lay in the heap,
what is recorded next would settle, and the heap would grow by the next copy again."""


def settle() -> None:
    """Keep freed memory, and take what lives now out of the garbage collector's rounds.

    A pass makes many small objects, and every full round would walk all of torch and transformers for them.
    """
    keep_freed_memory()
    gc.collect()
    gc.freeze()


@cache
def keep_freed_memory() -> bool:
    """Keep freed blocks in one heap of the process. False where the C library has no such setting.

    To be called before the model's thread starts: a thread that has allocated keeps its own heap.
    """
    try:
        libc = ctypes.CDLL(None)
        return all(
            libc.mallopt(*setting)
            for setting in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _LARGEST_KEPT), (_M_TRIM_THRESHOLD, _NEVER))
        )
    except (OSError, AttributeError):
        return False
