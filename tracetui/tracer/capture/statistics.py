"""Exact statistics of a torch tensor in one pass over memory: by compiled code, or by numpy where there is none.

There a tensor is worked on in chunks that stay in a core's cache, so that the few passes over a chunk cost one
over memory. Sums are taken over short runs in float32 and joined in float64, so that they don't lose
digits with size. Extremes, NaN, Inf and zeros are found on the bits read as integers, whose order is that
of the floats sign by sign: several times faster than comparing floats.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import attrgetter

import numpy as np
import numpy.typing as npt
import torch

from tracetui.native.statistics import KINDS, finder
from tracetui.recording.statistics import NO_STATISTICS, Statistics, by_numpy, merged, of_rows
from tracetui.tracer.capture.float_bits import FLOAT_BITS, FloatBits

Integers = npt.NDArray[np.signedinteger]
Floats = npt.NDArray[np.floating]

_KINDS = {getattr(torch, name): kind for name, kind in KINDS.items()}
_WHOLE_NUMBERS = frozenset((torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64))
_DTYPE, _IS_NESTED, _IS_CONTIGUOUS = attrgetter("dtype"), attrgetter("is_nested"), torch.Tensor.is_contiguous
_ADDRESS, _COUNT = torch.Tensor.const_data_ptr, torch.Tensor.numel  # type: ignore[attr-defined]
_SUMMED = frozenset(_KINDS)
"""Dtypes in which a finite sum proves that all elements are finite."""
_RUN = 1024
"""Elements summed in float32 before float64 takes over."""
_ONES = np.ones(_RUN, dtype=np.float32)
_CHUNK = 2**18
_WIDENED = 2**20
_CANCELLATION = 4.0
"""Above this ratio of mean² to variance the difference of sums has too few digits left."""


@dataclass(frozen=True, slots=True)
class _Extremes:
    """Of a tensor's bits, over all chunks."""

    low: int
    """The smallest and the largest as signed integers, and the largest as unsigned ones."""
    high: int
    top: int
    zeros: int


def of_tensor(tensor: torch.Tensor) -> Statistics:
    """The statistics of a tensor of any dtype and layout, equal to float64 numpy's within 1e-6."""
    if tensor.numel() == 0:
        return NO_STATISTICS
    if (fast := _by_native(tensor)) is not None:
        return fast
    row = flat(tensor).cpu()
    return _by_native(row) or _without_native(row)


def floats_in(tensor: torch.Tensor) -> tuple[int, int, int] | None:
    """Where the elements of a tensor lie for compiled code: address, count and kind; None where it can't read them.

    In whatever order, and where they are: nothing that is shared with the model is copied.
    """
    kind = _KINDS.get(tensor.dtype)
    if kind is None or not tensor.is_cpu or tensor.is_neg():
        return None
    if not tensor.is_contiguous() and not _is_dense(tensor.shape, tensor.stride()):
        return None
    return tensor.const_data_ptr(), tensor.numel(), kind  # type: ignore[attr-defined]


def rows_of(tensors: Sequence[torch.Tensor]) -> array[int] | None:
    """Where the floats of tensors of the processor lie, whatever their signs; None if compiled code can't read all.

    Whole lists are asked, so that hardly a step is the interpreter's.
    """
    known = [*map(_KINDS.get, map(_DTYPE, tensors))]
    kinds = [kind for kind in known if kind is not None]
    if len(kinds) < len(known):
        others = [each for each, kind in zip(tensors, known, strict=True) if kind is None]
        if any(each.dtype not in _WHOLE_NUMBERS or each.is_nested or each.is_meta for each in others):
            return None
        tensors = [each for each, kind in zip(tensors, known, strict=True) if kind is not None]
    if any(map(_IS_NESTED, tensors)) or not all(map(_IS_CONTIGUOUS, tensors)):
        rows = [None if each.is_nested else floats_in(each) for each in tensors]
        return None if None in rows else array("q", chain.from_iterable(filter(None, rows)))
    places = array("q", bytes(3 * 8 * len(tensors)))
    places[0::3] = array("q", [*map(_ADDRESS, tensors)])
    places[1::3] = array("q", [*map(_COUNT, tensors)])
    places[2::3] = array("q", kinds)
    # What has no memory, as on the device meta, has no address.
    return None if 0 in places[0::3] else places


def _by_native(tensor: torch.Tensor) -> Statistics | None:
    row = floats_in(tensor)
    return None if row is None else of_rows(array("q", row))[0]


def _without_native(flat: torch.Tensor) -> Statistics:
    """The same where this installation has no compiled code for it."""
    bits = FLOAT_BITS.get(flat.dtype)
    if bits is None:
        return _by_numpy(flat)
    integers: Integers = flat.view(bits.signed).numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        extremes, total, squares = _one_pass(flat, integers, bits)
    if extremes.high >= bits.largest_summed or extremes.top >= bits.sign + bits.largest_summed:
        return _by_numpy(flat)
    return _finish(flat, bits, extremes, total, squares)


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite: by its exponents, else by a sum over it, which mostly tells."""
    if not tensor.dtype.is_floating_point and not tensor.dtype.is_complex:
        return True
    row, find = floats_in(tensor), finder()
    if row is not None and find is not None:
        rows = array("q", row)
        return find(rows.buffer_info()[0], 1, 0, 1) == 1
    if tensor.dtype not in _SUMMED:
        return of_tensor(tensor).finite
    plain = tensor.detach() if tensor.requires_grad else tensor
    # The sum of many float16 numbers may be too large for one although none of them is.
    return math.isfinite(plain.sum().item()) or bool(torch.isfinite(plain).all())


def _one_pass(flat: torch.Tensor, integers: Integers, bits: FloatBits) -> tuple[_Extremes, float, float]:
    """The extremes, the sum and the sum of squares."""
    lows, highs, tops, zeros = [], [], [0], 0
    totals: list[Floats] = []
    squares: list[Floats] = []
    for start in range(0, integers.size, _CHUNK):
        part = integers[start : start + _CHUNK]
        low = int(part.min())
        lows.append(low)
        highs.append(int(part.max()))
        if low < 0:
            tops.append(int(part.view(bits.unsigned).max()))
        zeros += part.size - int(np.count_nonzero(part))
        if low == -bits.sign:
            # The bits of -0.0 are those of the smallest integer.
            zeros += int(np.count_nonzero(part == low))
        _add_sums(flat[start : start + _CHUNK].float().numpy(), totals, squares)
    total, squared = (float(np.concatenate(found).sum(dtype=np.float64)) for found in (totals, squares))
    return _Extremes(min(lows), max(highs), max(tops), zeros), total, squared


def _add_sums(chunk: Floats, totals: list[Floats], squares: list[Floats]) -> None:
    """Append the sums of the runs of a chunk, and of what is left over."""
    whole = chunk.size // _RUN * _RUN
    if whole:
        runs = chunk[:whole].reshape(-1, _RUN)  # [runs, _RUN]
        # A product with ones sums a run several times faster than numpy's own pairwise sum.
        totals.append(np.vecdot(runs, _ONES))
        squares.append(np.vecdot(runs, runs))
    if whole < chunk.size:
        tail = chunk[whole:].astype(np.float64)
        totals.append(np.atleast_1d(tail.sum()))
        squares.append(np.atleast_1d(np.dot(tail, tail)))


def _finish(flat: torch.Tensor, bits: FloatBits, extremes: _Extremes, total: float, squares: float) -> Statistics:
    numel = flat.numel()
    mean = total / numel
    variance = squares / numel - mean * mean
    if variance * _CANCELLATION < mean * mean or squares < numel * 1e-30:
        squares, mean, variance = _exact_squares(flat, mean)
    # Among negative floats the largest bits are the most negative value, the smallest the one nearest to zero.
    low = bits.value(extremes.top if extremes.low < 0 else extremes.low)
    high = bits.value(extremes.high if extremes.high >= 0 else extremes.low)
    std = math.sqrt(max(0.0, variance))
    return Statistics(numel, math.sqrt(squares), mean, std, low, high, 0, 0, 0, extremes.zeros)


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """All elements in one row; in whatever order, where that saves a copy of a transposed tensor."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.is_contiguous():
        return tensor.view(-1)
    if _is_dense(tensor.shape, tensor.stride()):
        return tensor.as_strided((tensor.numel(),), (1,))
    return tensor.contiguous().view(-1)


def with_layout(row: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What `flat` made of a tensor in the tensor's own shape; every element at its place."""
    if like.is_contiguous() or not _is_dense(like.shape, like.stride()):
        return row.view(like.shape)
    return row.as_strided(like.shape, like.stride())


@lru_cache(2**12)
def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements lie one beside the other, each once."""
    expected = 1
    for stride, length in sorted(zip(strides, shape, strict=True)):
        if length != 1:
            if stride != expected:
                return False
            expected *= length
    return True


def _by_numpy(flat: torch.Tensor) -> Statistics:
    """By the reference, which makes float64 copies of what it is given: a part at a time."""
    parts = (flat[start : start + _WIDENED] for start in range(0, flat.numel(), _WIDENED))
    return merged(by_numpy((part.to(torch.float64) if part.is_floating_point() else part).numpy()) for part in parts)


def _exact_squares(flat: torch.Tensor, mean: float) -> tuple[float, float, float]:
    """Sum of squares, mean and variance in float64, the variance about the mean."""
    squares = shift = deviations = 0.0
    for start in range(0, flat.numel(), _CHUNK):
        wide = flat[start : start + _CHUNK].to(torch.float64)
        squares += float(wide.square().sum())
        wide -= mean
        shift += float(wide.sum())
        deviations += float(wide.square_().sum())
    shift /= flat.numel()
    return squares, mean + shift, deviations / flat.numel() - shift * shift
