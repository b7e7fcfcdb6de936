"""Recorded tensors that still lie in torch's memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Array, Index, Value
from tracetui.tracer.capture.alias import capture_function
from tracetui.tracer.capture.statistics import floats_in, is_finite, of_tensor

_AS_FLOAT32 = {
    *(torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu),
}


class TorchValue:
    """A captured tensor; it is never written to, so reading needs no lock."""

    __slots__ = ("_statistics", "captured", "finite")

    def __init__(self, tensor: torch.Tensor) -> None:
        self.captured = tensor
        """To be read alone."""
        self._statistics: Statistics | None = None
        self.finite: bool | None = None
        """Whether no element is NaN or infinite, where somebody has looked."""

    @property
    def tensor(self) -> torch.Tensor:
        """The captured tensor as one that may be written to."""
        return capture_function()(self.captured)

    @property
    def at_hand(self) -> torch.Tensor:
        """The values where they can be looked at without waiting for a device, as far as they are there."""
        return self.captured

    @property
    def nbytes(self) -> int:
        return self.captured.numel() * self.captured.element_size()

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.captured.shape)

    @property
    def dtype(self) -> str:
        return dtype_name(self.captured.dtype)

    def read(self, index: Index = ()) -> Array:
        part = self.captured[index]
        wide = torch.float32 if part.dtype in _AS_FLOAT32 else part.dtype
        # A copy, never the storage itself: numpy() would first copy all of what a lazy clone shares.
        array: Array = part.to("cpu", wide, copy=True).resolve_conj().resolve_neg().contiguous().numpy()
        return array

    @property
    def is_looked_at(self) -> bool:
        """Whether somebody knows if all elements are finite."""
        return self.finite is not None or self._statistics is not None

    def all_finite(self) -> bool:
        """Whether no element is NaN or infinite; cheaper than the statistics."""
        if self.finite is None:
            known = self._statistics
            self.finite = is_finite(self.captured) if known is None else known.finite
        return self.finite

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = of_tensor(self.captured)
        return self._statistics

    def floats(self) -> tuple[int, int, int] | None:
        """Where its elements lie for compiled code, if its statistics aren't known."""
        return floats_in(self.captured) if self._statistics is None else None

    def know(self, statistics: Statistics) -> None:
        """They were computed elsewhere."""
        self._statistics = statistics


def completed(captured: Sequence[torch.Tensor], values: list[TorchValue], end: int) -> list[TorchValue]:
    """The values of what was captured, the first of which are made already; up to `end` it is plain and finite."""
    for tensor in captured[len(values) : end]:
        values.append(value := TorchValue(tensor.detach() if tensor.requires_grad else tensor))
        value.finite = True
    return values


def is_finite_value(value: Value) -> bool:
    """Whether no element of what has just been captured is NaN or infinite."""
    return value.all_finite() if isinstance(value, TorchValue) else value.statistics().finite


def tensor_of(value: Value, device: torch.device) -> torch.Tensor:
    """The very tensor that was recorded, on a device; of a NaN its payload may be another. Raises NotKeptError."""
    if isinstance(value, TorchValue):
        return value.tensor.to(device)
    # bf16 and fp8 are read as float32, which holds each of their numbers.
    return torch.from_numpy(value.read()).to(device, getattr(torch, value.dtype))


@cache
def dtype_name(dtype: torch.dtype) -> str:
    """`bfloat16` of torch.bfloat16."""
    return str(dtype).removeprefix("torch.")
