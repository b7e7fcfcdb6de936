"""Seeded random weights that are the same however little of them is made.

A value depends on the seed, the tensor's canonical name and its block alone. A block is a fixed run of
whole rows, a fixed piece of a long row, or one expert of many, so that one row, one layer or the whole
model give the same numbers on any number of threads. They are drawn in float32 and rounded to the model's
dtype, so that models of different dtypes have the same weights up to rounding.

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
from tracetui.models.weights.sources import Init, TensorSpec, Tick

BLOCK = 2**18
"""Elements of a block: its float32 values fit a core's cache."""
# Below torch's own threshold for starting threads: the pool is what uses the cores.
_COPY = 2**15 - 64


@dataclass(frozen=True, slots=True)
class _Task:
    """One block to draw: where it stands in the tensor, and which of its rows go where in the result."""

    block: int
    numel: int
    picks: tuple[tuple[int, int, int], ...]
    """(offset in the block, offset in the result, elements)."""


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
        self._draw(spec, out.view(-1), list(_tasks(spec, rows)), tick)
        return out

    def _draw(self, spec: TensorSpec, out: torch.Tensor, tasks: list[_Task], tick: Tick) -> None:
        """Fill `out` [numel] block by block on all cores; a tick that raises leaves no thread behind."""
        stop = Event()

        def work(mine: list[_Task]) -> int:
            made = 0
            # Not in torch's default dtype: that is the process's, and another while any thread builds a model.
            generator, block = torch.Generator(), torch.empty(BLOCK, dtype=torch.float32)
            for task in mine:
                if stop.is_set():
                    break
                made += self._draw_block(spec, task, generator, block, out)
            return made * spec.dtype.itemsize

        if len(tasks) == 1:
            tick(work(tasks))
            return
        share = max(1, min(16, len(tasks) // self._workers))
        with ThreadPoolExecutor(self._workers, thread_name_prefix="weights") as pool:
            try:
                chunks = [pool.submit(work, tasks[first : first + share]) for first in range(0, len(tasks), share)]
                for chunk in as_completed(chunks):
                    tick(chunk.result())
            except BaseException:
                stop.set()
                raise

    def _draw_block(
        self, spec: TensorSpec, task: _Task, generator: torch.Generator, block: torch.Tensor, out: torch.Tensor
    ) -> int:
        digest = blake2b(f"{self._seed}\0{spec.name}\0{task.block}".encode(), digest_size=8).digest()
        generator.manual_seed(int.from_bytes(digest, "little"))
        # Drawn whole even where few rows are wanted: the generator fills short runs in another order.
        values = block[: task.numel].normal_(0.0, self._std, generator=generator)  # [numel]
        made = 0
        for source, target, length in task.picks:
            for start in range(0, length, _COPY):
                size = min(_COPY, length - start)
                out[target + start : target + start + size] = values[source + start : source + start + size]
            made += length
        return made


def _tasks(spec: TensorSpec, rows: Sequence[int] | None) -> Iterator[_Task]:
    width = spec.row_numel
    if not width:
        return
    if width > BLOCK:
        yield from _long_rows(spec, range(spec.rows) if rows is None else rows)
    elif rows is None:
        yield from _all_blocks(spec)
    else:
        yield from _picked_rows(spec, rows)


def _all_blocks(spec: TensorSpec) -> Iterator[_Task]:
    per_block = _rows_per_block(spec) * spec.row_numel
    total = spec.rows * spec.row_numel
    for block, start in enumerate(range(0, total, per_block)):
        numel = min(per_block, total - start)
        yield _Task(block, numel, ((0, start, numel),))


def _picked_rows(spec: TensorSpec, rows: Sequence[int]) -> Iterator[_Task]:
    per_block, width = _rows_per_block(spec), spec.row_numel
    wanted: dict[int, list[tuple[int, int, int]]] = {}
    for position, row in enumerate(rows):
        block, inside = divmod(row, per_block)
        wanted.setdefault(block, []).append((inside * width, position * width, width))
    for block, picks in wanted.items():
        yield _Task(block, min(per_block, spec.rows - block * per_block) * width, tuple(picks))


def _long_rows(spec: TensorSpec, rows: Sequence[int]) -> Iterator[_Task]:
    width = spec.row_numel
    pieces = -(-width // BLOCK)
    for position, row in enumerate(rows):
        for piece in range(pieces):
            numel = min(BLOCK, width - piece * BLOCK)
            yield _Task(row * pieces + piece, numel, ((0, position * width + piece * BLOCK, numel),))


def _rows_per_block(spec: TensorSpec) -> int:
    if len(spec.shape) > 2:
        # A row is an expert, of which one at a time is asked for.
        return 1
    return max(1, BLOCK // max(1, spec.row_numel))
