"""Numbers that use the bits of a narrower dtype alone: bfloat16 values that a script kept as float32."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.diff.rounding.bfloat16_bits import DTYPE, with_bits_as_numbers
from tracetui.recording.npz.writer import blocks
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, Index, Value, is_kept

_FEWEST = 16
"""Values, none of them zero, without which chance may leave the last bits empty."""
_MOST = 0.5
"""What share of a file's tensors has to be narrow, for it to be a run in that dtype; fewer are a fault's."""
_BLOCK = 1 << 16
"""Bytes that are read at a time: the first block is enough for most tensors."""


def narrow_dtype(values: Array) -> str | None:
    """The dtype that holds all these values, if it is narrower than their own, else empty; None if they are too few or
    too plain to tell.
    """
    finite = values[(values != 0) & np.isfinite(values)]
    if finite.size < _FEWEST or (finite == np.round(finite)).all():
        return None
    with np.errstate(over="ignore"):
        single = finite.astype(np.float32)
        if (single != finite).any():
            return ""
        if not (single.view(np.uint32) & 0xFFFF).any():
            return "bfloat16"
        if (single.astype(np.float16) == single).all():
            return "float16"
    return "float32" if values.dtype == np.float64 else ""


@dataclass(frozen=True, slots=True)
class NarrowNumbers:
    """What most tensors of a file are, whatever they were kept as."""

    dtype: str
    kept_as: str
    count: int
    """How many tensors."""


def with_own_dtypes(trace: Trace) -> tuple[Trace, NarrowNumbers | None]:
    """A plain file whose tensors have the dtypes of the numbers in them, where most of them are of one narrower dtype.

    Others are left as they are: of a run in float32, single tensors in bfloat16 are worth to be told.
    """
    if not trace.dump:
        return trace, None
    trace, bits = with_bits_as_numbers(trace)
    if bits:
        return trace, NarrowNumbers(DTYPE, "its bits in 16-bit integers", bits)
    dtypes = [_of_value(record, value) for record, value in zip(trace.records, trace.values, strict=True)]
    telling = sum(dtype is not None for dtype in dtypes)
    (dtype, count), *_ = Counter(dtype for dtype in dtypes if dtype).most_common(1) or [("", 0)]
    if not dtype or count < _MOST * telling:
        return trace, None
    narrow = [own == dtype for own in dtypes]
    kept_as = next(record.dtype for record, own in zip(trace.records, narrow, strict=True) if own)
    records = tuple(
        replace(record, dtype=dtype) if own else record for record, own in zip(trace.records, narrow, strict=True)
    )
    values: Sequence[Value] = tuple(
        _NarrowValue(value, dtype) if own else value for value, own in zip(trace.values, narrow, strict=True)
    )
    return replace(trace, records=records, values=values), NarrowNumbers(dtype, kept_as, count)


def _of_value(record: Record, value: Value) -> str | None:
    """The narrower dtype of a tensor's numbers, empty for none; None where they can't tell."""
    if record.dtype not in ("float32", "float64") or record.numel < _FEWEST or not is_kept(value):
        return None
    dtypes: set[str] = set()
    for index in blocks(value.shape, np.dtype(record.dtype).itemsize, _BLOCK):
        dtype = narrow_dtype(value.read(index))
        if dtype is not None:
            dtypes.add(dtype)
        if "" in dtypes or len(dtypes) > 1:
            return ""
    return dtypes.pop() if dtypes else None


class _NarrowValue:
    """Another value under its numbers' own dtype."""

    def __init__(self, value: Value, dtype: str) -> None:
        self._value = value
        self._dtype = dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    @property
    def dtype(self) -> str:
        return self._dtype

    def read(self, index: Index = ()) -> Array:
        return self._value.read(index)

    def statistics(self) -> Statistics:
        return self._value.statistics()
