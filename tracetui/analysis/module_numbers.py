"""What a run did in each module: how large its output is, how much that grew over a layer, how long it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import TYPE_CHECKING

from tracetui.recording.record import Record, layer_before
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError

if TYPE_CHECKING:
    from tracetui.analysis.timeline.pyramid import Floats

_MOST_READ = 2**24
"""Elements of an output whose tokens are measured for a line of a few cells."""
_AT_ONCE = 500


class SortBy(StrEnum):
    """In which order modules stand."""

    TREE = ""
    NORM = "norm"
    GROWTH = "growth"
    BROKEN = "NaN/Inf"
    TIME = "time"


@dataclass(frozen=True, eq=False, slots=True)
class ModuleNumbers:
    """Of one module's output in one pass."""

    index: int
    """Of the record."""
    norm: float
    """Of its finite elements; NaN where there are none."""
    growth: float
    """Its norm as a multiple of that of the same module in the layer before; NaN where there is none."""
    nan: int
    inf: int
    seconds: float | None
    trend: Floats | None = None
    """Over passes the root of the mean square, as these have other numbers of tokens, or norms over the prompt's tokens
    where there is one pass; None: not looked at, or not kept.
    """


class ModuleBook:
    """Where each module's output of each pass stands among the records of one run. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._places: dict[int, dict[str, int]] = {}
        self._count = 0
        self._marker: Record | None = None

    def is_of(self, trace: Trace, frontier: int) -> bool:
        """Whether a trace's first `frontier` records go on from what has been taken in."""
        count = self._count
        return count <= frontier and (count < 2 or trace.records[count - 2] is self._marker)

    def extend(self, trace: Trace, frontier: int) -> None:
        """Take in the records up to the frontier. O(new records)."""
        with self._lock:
            for record in trace.records[self._count : frontier]:
                if not (record.role or record.part or record.call):
                    self._places.setdefault(record.pass_, {})[record.site] = record.index
            self._count = max(self._count, frontier)
            if self._count >= 2:
                self._marker = trace.records[self._count - 2]

    def paths(self, pass_: int) -> Sequence[str]:
        """The modules that a pass has records of, in the order in which they ended."""
        return list(self._places.get(pass_, ()))

    def numbers(self, trace: Trace, path: str, pass_: int) -> ModuleNumbers | None:
        """Of a module in a pass; None where it has no record. Its statistics are computed if nobody has done so."""
        place = self._places.get(pass_, {}).get(path)
        if place is None:
            return None
        statistics = trace.values[place].statistics()
        before = self._places[pass_].get(layer_before(path))
        growth = math.nan if before is None else _ratio(statistics, trace.values[before].statistics())
        inf = statistics.posinf + statistics.neginf
        return ModuleNumbers(place, statistics.l2, growth, statistics.nan, inf, trace.records[place].seconds)

    def trend(self, trace: Trace, path: str, pass_: int, row: int, most: int) -> Floats | None:
        """Of the last passes, at most so many, or of the prompt's tokens where there is one pass.

        None where there is nothing to compare, or no value was kept.
        """
        passes = [places[path] for _, places in sorted(self._places.items()) if path in places][-most:]
        if len(self._places) > 1:
            import numpy as np

            sizes = [_root_mean_square(trace.values[place].statistics()) for place in passes]
            return np.array(sizes, np.float64) if len(sizes) > 1 else None
        return token_norms(trace, trace.records[passes[-1]], row) if passes else None


def token_norms(trace: Trace, record: Record, row: int) -> Floats | None:
    """The norm of each of a prompt's tokens [T] in a record [B,T,…]; None where it has another form, or no values."""
    rows, length = len(trace.tokens), len(trace.positions(record.pass_))
    if len(record.shape) < 3 or record.shape[:2] != (max(1, rows), length) or record.numel > _MOST_READ:
        return None
    real = trace.prompt_lengths[row] if not record.pass_ and row < rows else length
    try:
        values = trace.value(record).read((min(row, record.shape[0] - 1), slice(0, real)))  # [T,…]
    except NotKeptError:
        return None
    import numpy as np

    flat = np.abs(values).astype(np.float64).reshape(len(values), -1)  # [T,n]
    with np.errstate(over="ignore", invalid="ignore"):
        norms: Floats = np.sqrt(np.square(flat).sum(axis=1))  # [T]
    return norms


def sorted_paths(
    book: ModuleBook, trace: Trace, pass_: int, by: SortBy, text: str, is_cancelled: Callable[[], bool]
) -> tuple[tuple[str, ...], dict[str, ModuleNumbers]]:
    """The modules of a pass whose path holds a text, the largest first, and their numbers.

    Those that have no such number are left out.
    """
    numbers: dict[str, ModuleNumbers] = {}
    for place, path in enumerate(book.paths(pass_)):
        if place % _AT_ONCE == 0 and is_cancelled():
            break
        if text.lower() in path.lower() and (of := book.numbers(trace, path, pass_)) is not None:
            numbers[path] = of
    keys = {path: _key(of, by) for path, of in numbers.items()}
    ranked = sorted((path for path in numbers if not math.isnan(keys[path])), key=lambda path: -keys[path])
    return tuple(ranked), numbers


def _key(numbers: ModuleNumbers, by: SortBy) -> float:
    if by is SortBy.NORM:
        return numbers.norm
    if by is SortBy.GROWTH:
        return numbers.growth
    if by is SortBy.TIME:
        return math.nan if numbers.seconds is None else numbers.seconds
    # Where it began matters most.
    return -float(numbers.index) if numbers.nan or numbers.inf else math.nan


def _root_mean_square(statistics: Statistics) -> float:
    return statistics.l2 / math.sqrt(statistics.finite_count) if statistics.finite_count else math.nan


def _ratio(statistics: Statistics, before: Statistics) -> float:
    return statistics.l2 / before.l2 if before.finite_count and before.l2 else math.nan


def fetched(
    book: ModuleBook, trace: Trace, paths: Iterable[str], pass_: int, is_cancelled: Callable[[], bool]
) -> dict[str, ModuleNumbers]:
    """The numbers of some modules that have any."""
    numbers = {}
    for path in paths:
        if is_cancelled():
            break
        if (of := book.numbers(trace, path, pass_)) is not None:
            numbers[path] = of
    return numbers
