"""Exact statistics of a torch tensor in one pass over memory.

A tensor is worked on in chunks that stay in a core's cache, so that the few passes over a chunk cost one
over memory. Sums are taken over short runs in float32 and joined in float64, so that they don't lose
digits with size. Extremes, NaN, Inf and zeros are found on the bits read as integers, whose order is that
of the floats sign by sign: several times faster than comparing floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tracetui.trace.statistics import NO_STATISTICS, Statistics, of_array

_RUN = 1024
"""Elements summed in float32 before float64 takes over."""
_CHUNK = 2**18
_CANCELLATION = 4.0
"""Above this ratio of mean² to variance the difference of sums has too few digits left."""


@dataclass(frozen=True, slots=True)
class _Bits:
    """How a floating dtype looks as integers of its size."""

    signed: torch.dtype
    unsigned: type[np.unsignedinteger]
    sign: int
    """The sign bit."""
    infinity: int
    """The bits of +Inf; those of every NaN of that sign are larger."""


_BITS = {
    torch.float32: _Bits(torch.int32, np.uint32, 1 << 31, 0x7F80_0000),
    torch.bfloat16: _Bits(torch.int16, np.uint16, 1 << 15, 0x7F80),
    torch.float16: _Bits(torch.int16, np.uint16, 1 << 15, 0x7C00),
}


@dataclass(slots=True)
class _Sums:
    """What one pass adds up."""

    total: float = 0.0
    squares: float = 0.0
    low: int = 0
    """The smallest and the largest of the bits as signed integers, and the largest as unsigned ones."""
    high: int = 0
    top: int = 0
    zeros: int = 0


def of_tensor(tensor: torch.Tensor) -> Statistics:
    """The statistics of a tensor of any dtype and layout, equal to float64 numpy's within 1e-6."""
    if tensor.numel() == 0:
        return NO_STATISTICS
    flat = _flat(tensor.detach()).cpu()
    bits = _BITS.get(flat.dtype)
    if bits is None:
        return _by_numpy(flat)
    sums = _one_pass(flat, bits)
    if sums.high >= bits.infinity or sums.top >= bits.sign + bits.infinity:
        return _by_numpy(flat)
    if not math.isfinite(sums.total + sums.squares):
        return _by_numpy(flat)
    numel = flat.numel()
    mean = sums.total / numel
    squares, variance = sums.squares, sums.squares / numel - mean * mean
    if variance * _CANCELLATION < mean * mean:
        squares, variance = _exact_squares(flat, mean)
    low, high = _extremes(sums, flat.dtype, bits)
    return Statistics(numel, math.sqrt(squares), mean, math.sqrt(max(0.0, variance)), low, high, 0, 0, 0, sums.zeros)


def _one_pass(flat: torch.Tensor, bits: _Bits) -> _Sums:
    sums = _Sums()
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, flat.numel(), _CHUNK):
            chunk = flat[start : start + _CHUNK]
            _add_sums(sums, chunk if chunk.dtype is torch.float32 else chunk.float())
            _add_bits(sums, chunk.view(bits.signed).numpy(), bits, first=start == 0)
    return sums


def _add_sums(sums: _Sums, chunk: torch.Tensor) -> None:
    whole = chunk.numel() // _RUN * _RUN
    if whole:
        runs = chunk[:whole].view(-1, _RUN)  # [runs, _RUN]
        array = runs.numpy()
        sums.total += float(runs.sum(1).numpy().sum(dtype=np.float64))
        sums.squares += float(np.vecdot(array, array).sum(dtype=np.float64))
    if whole < chunk.numel():
        tail = chunk[whole:].numpy().astype(np.float64)
        sums.total += float(tail.sum())
        sums.squares += float(np.dot(tail, tail))


def _add_bits(sums: _Sums, integers: npt.NDArray[np.signedinteger], bits: _Bits, first: bool) -> None:
    low, high = int(integers.min()), int(integers.max())
    sums.low, sums.high = (low, high) if first else (min(sums.low, low), max(sums.high, high))
    if low < 0:
        sums.top = max(sums.top, int(integers.view(bits.unsigned).max()))
    sums.zeros += integers.size - int(np.count_nonzero(integers))
    if low == np.iinfo(integers.dtype).min:
        # The bits of -0.0 are those of the smallest integer.
        sums.zeros += int(np.count_nonzero(integers == low))


def _extremes(sums: _Sums, dtype: torch.dtype, bits: _Bits) -> tuple[float, float]:
    """The smallest and the largest float from the extremes of their bits."""

    def value(pattern: int) -> float:
        return float(torch.tensor(pattern, dtype=bits.signed).view(dtype))

    # Among negative floats the largest bits are the most negative value, the smallest the one nearest to zero.
    low = value(sums.top - 2 * bits.sign if sums.low < 0 else sums.low)
    high = value(sums.high if sums.high >= 0 else sums.low)
    return low, high


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """All elements in one row; in whatever order, where that saves a copy of a transposed tensor."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    if torch._debug_has_internal_overlap(tensor) == 0 and _is_dense(tensor):
        return tensor.as_strided((tensor.numel(),), (1,))
    return tensor.reshape(-1)


def _is_dense(tensor: torch.Tensor) -> bool:
    expected = 1
    for stride, length in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if length != 1:
            if stride != expected:
                return False
            expected *= length
    return True


def _by_numpy(flat: torch.Tensor) -> Statistics:
    wide = flat.to(torch.float64) if flat.is_floating_point() else flat
    return of_array(wide.numpy())


def _exact_squares(flat: torch.Tensor, mean: float) -> tuple[float, float]:
    """Sum of squares and variance in float64, the variance about the mean."""
    squares = deviations = 0.0
    for start in range(0, flat.numel(), _CHUNK):
        wide = flat[start : start + _CHUNK].to(torch.float64)
        squares += float(wide.square().sum())
        deviations += float((wide - mean).square_().sum())
    return squares, deviations / flat.numel()
