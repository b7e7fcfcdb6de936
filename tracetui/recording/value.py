"""A recorded tensor's values, wherever they lie: in memory, in torch's storage, in an open file."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tracetui.errors import RunError
from tracetui.recording.later import LaterSequence
from tracetui.recording.statistics import Statistics, of_array, of_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    # The first paint does without numpy.
    Array = Any
Index = tuple[int | slice, ...]
Decode = Callable[[Array], Array]
"""Makes numbers of what numpy has no dtype for."""


class NotKeptError(RunError):
    """A record's values were asked for, but the run kept only its statistics."""


class Value(Protocol):
    """Values that can be read in part. Safe to use from any thread; what is read is the caller's own."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> str:
        """The tensor's own dtype (`bfloat16`), whatever the array that `read` returns has."""
        ...

    def read(self, index: Index = ()) -> Array:
        """The part `index` as an array: bf16 and fp8 as float32, which holds them exactly. Raises NotKeptError."""
        ...

    def statistics(self) -> Statistics:
        """Over the whole tensor; computed when first asked for."""
        ...


class ArrayValue:
    """A value over a numpy array, of which `dtype` may name the narrower original."""

    def __init__(self, array: Array, dtype: str | None = None) -> None:
        self._array = array
        self._dtype = dtype or str(array.dtype)
        self._statistics: Statistics | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._array.shape)

    @property
    def dtype(self) -> str:
        return self._dtype

    def read(self, index: Index = ()) -> Array:
        import numpy as np

        return np.array(self._array[index])

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = of_array(self._array)
        return self._statistics


class StatisticsValue:
    """What is left of a tensor whose values were not kept."""

    __slots__ = ("_dtype", "_shape", "_statistics")

    def __init__(self, shape: tuple[int, ...], dtype: str, statistics: Statistics) -> None:
        self._shape = shape
        self._dtype = dtype
        self._statistics = statistics

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> str:
        return self._dtype

    def read(self, index: Index = ()) -> Array:
        raise NotKeptError("the values of this tensor were not kept, only its statistics")

    def statistics(self) -> Statistics:
        return self._statistics


def statistics_of(values: Sequence[Value]) -> list[Statistics]:
    """Of each, in order; of all whose floats lie in memory in one call of compiled code."""
    if isinstance(values, LaterSequence):
        # First: what is done to have them all asks of each whether it is finite.
        _learn(values.ahead())
    _learn(values)
    return [value.statistics() for value in values]


def _learn(values: Iterable[Value]) -> None:
    """Have values know their statistics whose floats lie in memory."""
    waiting: dict[int, Any] = {}
    rows = array("q")
    for value in values:
        # Whose floats may: the value knows where.
        floats = getattr(value, "floats", None)
        if floats is not None and id(value) not in waiting and (row := floats()) is not None:
            waiting[id(value)] = value
            rows.extend(row)
    for value, statistics in zip(waiting.values(), of_rows(rows), strict=True):
        if statistics is not None:
            value.know(statistics)


def magnitudes(array: Array) -> Array:
    """What is shown of complex numbers; others are as they are."""
    return abs(array) if array.dtype.kind == "c" else array


def is_kept(value: Value) -> bool:
    """Whether the values can still be read. Nothing is read to tell: a compressed value would be unpacked."""
    return not isinstance(value, StatisticsValue)
