"""Tensors of 16-bit integers that are bfloat16's bits: numpy has no such dtype, so that scripts keep a view of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tracetui.formats.narrow_floats import bfloat16
from tracetui.recording.npz.writer import blocks
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics, merged, of_array
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, Index, Value, is_kept

DTYPE = "bfloat16"
_FEWEST = 16
"""Values, none of them zero, fewer than which may be anything."""
_SIZES = (2.0**-30, 2.0**20)
_USUAL = 0.99
"""What share of a tensor's numbers has a size that activations have; token ids read as bits are all but zero."""
_BLOCK = 1 << 16
"""Bytes that are looked at of each tensor."""


def with_bits_as_numbers(trace: Trace) -> tuple[Trace, int]:
    """A plain file whose 16-bit integers are numbers where they are bfloat16's bits, and how many tensors are such."""
    samples = [_sample(record, value) for record, value in zip(trace.records, trace.values, strict=True)]
    numbers = [sample if sample is not None and _is_usual(sample) else None for sample in samples]
    if not any(sample is not None and (sample < 0).any() and (sample > 0).any() for sample in numbers):
        return trace, 0
    are_bits = [sample is not None for sample in numbers]
    records = tuple(
        replace(record, dtype=DTYPE) if bits else record for record, bits in zip(trace.records, are_bits, strict=True)
    )
    values: tuple[Value, ...] = tuple(
        _BitsValue(value) if bits else value for value, bits in zip(trace.values, are_bits, strict=True)
    )
    return replace(trace, records=records, values=values), sum(are_bits)


def _sample(record: Record, value: Value) -> Array | None:
    """The first numbers of a tensor, if its integers are bits; None for other dtypes."""
    if record.dtype not in ("int16", "uint16") or not is_kept(value) or not record.numel:
        return None
    return _numbers(value.read(next(iter(blocks(value.shape, 2, _BLOCK)))))


def _numbers(bits: Array) -> Array:
    return bfloat16(bits.view(np.uint16))


def _is_usual(numbers: Array) -> bool:
    sizes = np.abs(numbers[(numbers != 0) & np.isfinite(numbers)])
    least, most = _SIZES
    return bool(sizes.size >= _FEWEST and np.mean((sizes > least) & (sizes < most)) >= _USUAL)


class _BitsValue:
    """The numbers whose bits another value has."""

    def __init__(self, value: Value) -> None:
        self._value = value

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    @property
    def dtype(self) -> str:
        return DTYPE

    def read(self, index: Index = ()) -> Array:
        return _numbers(self._value.read(index))

    def statistics(self) -> Statistics:
        return merged(of_array(self.read(index)) for index in blocks(self.shape, 4))
