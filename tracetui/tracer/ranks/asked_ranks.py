"""The traces of a live run's ranks, of which the others' come here only when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tracetui.errors import InputError
from tracetui.recording.trace import Trace
from tracetui.tracer.orders import GatherRanks


class AskedRanks(Mapping[int | None, Trace]):
    """By rank, and under None all together."""

    def __init__(self, world: int, gather: Callable[[], Trace]) -> None:
        """gather: the merged trace, which knows each rank's own; takes its time, and may raise TracetuiError."""
        self._keys: tuple[int | None, ...] = (None, *range(world))
        self._gather = gather
        self._merged: Trace | None = None

    def __iter__(self) -> Iterator[int | None]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, rank: object) -> bool:
        return rank in self._keys

    def __getitem__(self, rank: int | None) -> Trace:
        if rank not in self._keys:
            raise KeyError(rank)
        if self._merged is None:
            self._merged = self._gather()
        return self._merged.by_rank[rank]


class Gathering:
    """Of one session: into which folders its runs' ranks write."""

    def __init__(self, gather: Callable[[Trace, Path], Trace]) -> None:
        """gather: has all ranks write, this one the trace that it is given, and puts it together."""
        self._gather = gather
        self._folder: TemporaryDirectory[str] | None = None
        self._count = 0

    def ranks_of(self, trace: Trace, world: int, put: Callable[[GatherRanks], None]) -> AskedRanks:
        """What the ranks recorded in a run that has ended; put: hands an order to the model's thread."""

        def gather(last: Trace) -> Trace:
            if last.records is not trace.records:
                raise InputError("the other ranks' records of this run are gone: another one has begun since")
            try:
                return self._gather(trace, self._next_folder())
            except OSError as error:
                raise InputError(f"the ranks' records can't be put together: {error}") from error

        def ask() -> Trace:
            order = GatherRanks(gather)
            put(order)
            return order.answer()

        return AskedRanks(world, ask)

    def close(self) -> None:
        """Remove what was written. What was opened of it can still be read."""
        if self._folder is not None:
            self._folder.cleanup()

    def _next_folder(self) -> Path:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="tracetui-ranks-", ignore_cleanup_errors=True)
        self._count += 1
        return Path(self._folder.name, str(self._count))
