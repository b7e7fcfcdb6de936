"""Seeded random weights that are the same however little of them is made.

A value depends on the seed, the tensor's canonical name and its place alone, so that one row, one layer or the whole
model give the same numbers on any number of threads and any processor. Models of different dtypes have the same
weights up to rounding from float32.

Distribution: normal with std = initializer_range, a router's selection bias too; norm weights 1; other biases 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from hashlib import blake2b
from threading import Event

import torch

from tracetui.models.processors import processor_count
from tracetui.models.weights.memory import empty_weight
from tracetui.models.weights.normals import draw, table_of
from tracetui.models.weights.sources import Init, TensorSpec, Tick
from tracetui.screen_turn import screen_turn

RUN = 2**18
"""Elements that a thread draws at once: few enough that a run which was cancelled ends soon."""
_DRAWN = {torch.float32, torch.bfloat16, torch.float16}
"""Dtypes that have a table of their own; others are rounded from float32."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Elements that lie one beside the other."""

    first: int
    """The place in the tensor of the first of them."""
    start: int
    """Where they go in the result."""
    numel: int


class RandomSource:
    """Every tensor, drawn from a seed."""

    def __init__(self, seed: int, std: float, workers: int | None = None) -> None:
        self._seed = seed
        self._std = std
        self._workers = workers or processor_count()

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        """`random`; None for a table of integers, which mean something that no distribution knows."""
        return "random" if spec.dtype.is_floating_point else None

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        shape = spec.shape if rows is None else (len(rows), *spec.shape[1:])
        if spec.init is not Init.NORMAL:
            tick(spec.nbytes(None if rows is None else len(rows)))
            return torch.full(shape, 1.0 if spec.init is Init.ONES else 0.0, dtype=spec.dtype)
        out = empty_weight(shape, spec.dtype)
        self._draw(spec, out.view(-1), list(_runs(spec, rows)), tick)
        return out

    def _draw(self, spec: TensorSpec, out: torch.Tensor, runs: list[_Run], tick: Tick) -> None:
        """Fill `out` [numel] run by run on all cores; a tick that raises leaves no thread behind."""
        stop = Event()
        key = blake2b(f"{self._seed}\0{spec.name}".encode(), digest_size=16).digest()

        def work(mine: list[_Run]) -> int:
            made = 0
            for run in mine:
                if stop.is_set():
                    break
                screen_turn.give_way()
                self._draw_run(key, run.first, out[run.start : run.start + run.numel])
                made += run.numel
            return made * spec.dtype.itemsize

        if sum(run.numel for run in runs) <= RUN:
            tick(work(runs))
            return
        share = max(1, min(16, len(runs) // self._workers))
        with ThreadPoolExecutor(self._workers, thread_name_prefix="weights") as pool:
            try:
                chunks = [pool.submit(work, runs[first : first + share]) for first in range(0, len(runs), share)]
                for chunk in as_completed(chunks):
                    tick(chunk.result())
            except BaseException:
                stop.set()
                raise

    def _draw_run(self, key: bytes, first: int, out: torch.Tensor) -> None:
        if out.dtype in _DRAWN:
            draw(key, first, table_of(self._std, out.dtype), out)
            return
        exact = torch.empty(out.numel(), dtype=torch.float32)
        draw(key, first, table_of(self._std, torch.float32), exact)
        out.copy_(exact)


def _runs(spec: TensorSpec, rows: Sequence[int] | None) -> Iterator[_Run]:
    """The whole tensor, or its rows one by one, in runs of at most RUN elements; a range of rows is one."""
    width = spec.row_numel
    together = 1 if not isinstance(rows, range) or rows.step != 1 else len(rows)
    length = together * width if rows is not None else spec.rows * width
    for position, row in enumerate((0,) if rows is None else rows[::together]):
        for start in range(0, length, RUN):
            yield _Run(row * width + start, position * width + start, min(RUN, length - start))
