"""Compiled code on several threads: it lets go of the interpreter, so that each processor can do its part.

Best on those of torch's own OpenMP: between its kernels they wait at their processors, where others are in the way.
"""

from __future__ import annotations

import ctypes
import os
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Thread
from typing import Any

_LEAST = 2**19
"""Elements for which a thread of their own is worth its start."""


Work = Callable[[int, int, int, int], object]
"""`work(first, end, parallel, threads)` over rows `first` to `end`, on so many threads of the OpenMP that has its
`GOMP_parallel` at an address; on the caller's where that is 0."""


def run_in_parts(work: Work, counts: Sequence[int]) -> None:
    """Have work done on as many threads as are worth it; counts: how many elements each row has."""
    whole, most = len(counts), sum(counts) // _LEAST
    # Of few numbers nobody is asked how many threads there are.
    if most < 2 or (usable := usable_threads()) < 2:
        work(0, whole, 0, 1)
        return
    if (parallel := _torchs_openmp()) != 0:
        # As many as torch itself takes: those that were left out would have to be started anew for its next kernel.
        work(0, whole, parallel, usable)
        return
    (first, end), *others = _parts(counts, min(usable, most))
    threads = [Thread(target=work, args=(*part, 0, 1)) for part in others]
    for thread in threads:
        thread.start()
    work(first, end, 0, 1)
    for thread in threads:
        thread.join()


def _torchs_openmp() -> int:
    """The address of `GOMP_parallel` in the OpenMP that torch has loaded; 0 where it has none, or another one."""
    torch = sys.modules.get("torch")
    return 0 if torch is None or torch.__file__ is None else _openmp_in(Path(torch.__file__).parent / "lib")


@cache
def _openmp_in(folder: Path) -> int:
    for path in sorted(folder.glob("libgomp*.so*")):
        try:
            # Of what isn't loaded yet there would be a second one, whose threads would be in the way of the first's.
            loaded = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
            return ctypes.cast(loaded.GOMP_parallel, ctypes.c_void_p).value or 0
        except (OSError, AttributeError):
            continue
    return 0


def usable_threads() -> int:
    """As many as torch uses where it is there; else one for each processor, or as many as OMP_NUM_THREADS says."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    allowed = getattr(os, "sched_getaffinity", None)
    processors = len(allowed(0)) if allowed is not None else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(processors, int(said)) if said.isdecimal() and int(said) else processors


def _parts(counts: Sequence[int], most: int) -> list[tuple[int, int]]:
    ends, whole = list(accumulate(counts)), len(counts)
    cuts = [bisect_left(ends, ends[-1] * part / most) for part in range(1, most)]
    places = sorted({0, *cuts, whole})
    return list(pairwise(places)) or [(0, whole)]
