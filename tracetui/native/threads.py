"""Compiled code on several threads: it lets go of the interpreter, so that each processor can do its part."""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from threading import Thread
from typing import Any

_LEAST = 2**19
"""Elements for which a thread of their own is worth its start."""


def run_in_parts(work: Callable[[int, int], object], counts: Sequence[int]) -> None:
    """Call `work(first, end)` for ranges of rows that hold about as many elements; counts: of each row."""
    most = sum(counts) // _LEAST
    if most < 2:
        work(0, len(counts))
        return
    (first, end), *others = _parts(counts, min(usable_threads(), most))
    threads = [Thread(target=work, args=part) for part in others]
    for thread in threads:
        thread.start()
    work(first, end)
    for thread in threads:
        thread.join()


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
