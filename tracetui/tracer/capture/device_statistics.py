"""Statistics of tensors that aren't kept, computed where they are: ten numbers are sent in place of each tensor."""

from __future__ import annotations

from functools import reduce

import torch

from tracetui.native.statistics import FloatSums
from tracetui.recording.statistics import Statistics, of_sums
from tracetui.recording.value import StatisticsValue
from tracetui.tracer.capture.statistics import flat
from tracetui.tracer.capture.values import TorchValue, dtype_name

SUMMED = frozenset((torch.float32, torch.bfloat16, torch.float16))
"""Dtypes whose squares no float64 is too small for."""
_AT_ONCE = 2**24
"""Elements of which a float64 copy may be made."""


class DeviceStatistics(StatisticsValue):
    """What is left of a device's tensor whose values were not kept; whoever asks waits for its numbers."""

    __slots__ = ("_sums", "_told")

    def __init__(self, tensor: torch.Tensor, sums: TorchValue) -> None:
        """sums: what `sums_of` made of the tensor."""
        self._shape, self._dtype = tuple(tensor.shape), dtype_name(tensor.dtype)
        self._sums: TorchValue | None = sums
        self._told: Statistics | None = None

    def statistics(self) -> Statistics:
        sums = self._sums
        if self._told is None and sums is not None:
            *floats, finite, nan, positive, negative, zeros = sums.read().tolist()
            counts = map(int, (finite, nan, positive, negative, zeros))
            self._told = of_sums(FloatSums(*floats, *counts))
            self._sums = None
        assert self._told is not None
        return self._told


def sums_of(tensor: torch.Tensor) -> torch.Tensor:
    """The numbers of FloatSums over a tensor, in its order and in float64 [10], on the tensor's device."""
    parts = torch.split(flat(tensor), _AT_ONCE)  # [n] each
    flags = [part.isfinite() for part in parts]  # [n] each
    pairs = list(zip(parts, flags, strict=True))
    finite = _total([flag.sum() for flag in flags])
    mean = _total([part.where(flag, 0).sum(dtype=torch.float64) for part, flag in pairs]) / finite
    spread = [(part.double() - mean).where(flag, 0).square_().sum() for part, flag in pairs]
    squares = [part.where(flag, 0).double().square_().sum() for part, flag in pairs]
    low = reduce(torch.minimum, [part.where(flag, torch.inf).amin() for part, flag in pairs])
    high = reduce(torch.maximum, [part.where(flag, -torch.inf).amax() for part, flag in pairs])
    counts = [_total([found.sum() for found in each]) for each in zip(*map(_found, parts), strict=True)]
    numbers = (_total(squares), mean, _total(spread), low, high, finite, *counts)
    return torch.stack([number.double() for number in numbers])  # [10]


def _found(part: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Where a part [n] is NaN, infinite in either direction, and zero."""
    return part.isnan(), part == torch.inf, part == -torch.inf, part == 0


def _total(numbers: list[torch.Tensor]) -> torch.Tensor:
    return reduce(torch.add, numbers)
