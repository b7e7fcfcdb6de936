"""Where recorded values go: into memory, into a spill file when that is full, and then nowhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import torch

from tracetui.formats.narrow_floats import bfloat16, float8_e4m3, float8_e5m2
from tracetui.formats.npy import stored_as
from tracetui.recording.keep import Room
from tracetui.recording.npz.writer import blocks
from tracetui.recording.spill import SpilledValue
from tracetui.recording.spill_file import SpillFile, spill_folder
from tracetui.recording.value import Array, Decode, StatisticsValue, Value
from tracetui.tracer.capture.device_statistics import SUMMED, DeviceStatistics, sums_of
from tracetui.tracer.capture.host_copies import HostCopies
from tracetui.tracer.capture.values import TorchValue, dtype_name

_NARROW: dict[torch.dtype, tuple[torch.dtype, str, Decode]] = {
    torch.bfloat16: (torch.int16, "<u2", bfloat16),
    torch.float8_e4m3fn: (torch.uint8, "u1", float8_e4m3),
    torch.float8_e5m2: (torch.uint8, "u1", float8_e5m2),
}
"""Of dtypes that numpy lacks: the one of the same width to read their bits by, and what makes numbers of these."""


UNASKED = 2**26
"""Bytes of values for which nobody asks how much memory there is."""


class ValueStore:
    """Takes captured tensors, one after another, on the model's thread."""

    def __init__(self, room: Room, memory: int | Callable[[], int], may_hold: bool = True) -> None:
        """memory: bytes of values that may lie there, where `room` doesn't say. A function is asked once it matters.

        may_hold: whether a device has room for all that a pass records.
        """
        self._ask = memory if callable(memory) and room.memory is None else None
        self.left = UNASKED if callable(memory) else memory
        """Bytes of values that may still lie in memory, as far as anybody has asked."""
        if room.memory is not None:
            self.left = room.memory
        self._room = room
        self._file: SpillFile | None = None
        self.copies = HostCopies()
        """Of what a device had."""
        self.may_hold = may_hold
        self._lost = 0
        self._trouble = ""

    def carry(self, values: Collection[Value], lost: int) -> None:
        """Take over another run's values; `lost` of them are missing.

        Room of a fixed size shrinks by their bytes. Room that was measured already counts them, as they lay in memory
        then.
        """
        self._lost += lost
        if self._room.memory is not None:
            held = {id(value): value.nbytes for value in values if isinstance(value, TorchValue)}
            self.left = max(0, self.left - sum(held.values()))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for readers of the trace: values that are missing, and why."""
        if not self._lost:
            return ()
        why = self._trouble or "memory and disk set aside for them (--values, --spill) were full"
        return (f"the values of {self._lost:,} tensors are missing, only their statistics are there: {why}",)

    def takes(self, size: int) -> bool:
        """Whether so many bytes more fit into memory; if they do, they are taken."""
        if size > self.left and not self.may_hold_more(size):
            return False
        self.left -= size
        return True

    def may_hold_more(self, size: int) -> bool:
        """Whether so many bytes more fit into memory once somebody asks how much there is."""
        if self._ask is not None:
            # Half of what is free: of what lies there already, the other half is missing.
            self.left = max(0, self._ask() - (UNASKED - self.left) // 2)
            self._ask = None
        return size <= self.left

    def put(self, captured: torch.Tensor) -> Value:
        """The value in the best place that has room for it."""
        if self.takes(captured.nbytes):
            return TorchValue(captured) if captured.is_cpu else self.copies.value(captured)
        return self._spilled(TorchValue(captured), captured) or self._without(captured)

    def summarise(self, tensor: torch.Tensor) -> Value:
        """A value that is not wanted: its statistics."""
        if tensor.is_cuda and tensor.dtype in SUMMED and tensor.numel():
            return DeviceStatistics(tensor, self.copies.value(sums_of(tensor)))
        value = TorchValue(tensor)
        return StatisticsValue(value.shape, value.dtype, value.statistics())

    def _without(self, captured: torch.Tensor) -> Value:
        self._lost += 1
        return self.summarise(captured)

    def _spilled(self, value: TorchValue, tensor: torch.Tensor) -> SpilledValue | None:
        if self._trouble or self._room.disk == 0:
            return None
        try:
            file = self._file = self._file or SpillFile(self._folder, self._room.disk)
            stored, decode = _form(tensor.dtype)
            size = tensor.numel() * stored.itemsize
            offset = file.add(size, _bytes(tensor, stored.itemsize))
        except OSError as error:
            self._trouble = f"{self._folder}: {error.strerror or error} (--spill-folder)"
            return None
        if offset is None:
            return None
        return SpilledValue(file, offset, stored, value.shape, value.dtype, value.statistics(), decode)

    @property
    def _folder(self) -> Path:
        return self._room.folder or spill_folder()


def _form(dtype: torch.dtype) -> tuple[np.dtype[np.generic], Decode | None]:
    """How values of a dtype lie in the file: as they are, or as float32 where nothing here knows their bits."""
    if dtype in _NARROW:
        return np.dtype(_NARROW[dtype][1]), _NARROW[dtype][2]
    return stored_as(dtype_name(dtype)), None


def _bytes(tensor: torch.Tensor, itemsize: int) -> Iterator[memoryview]:
    for index in blocks(tuple(tensor.shape), itemsize):
        yield _numbers(tensor[index]).reshape(-1).view(np.uint8).data


def _numbers(part: torch.Tensor) -> Array:
    if part.dtype not in _NARROW:
        return TorchValue(part).read()
    # A copy, never the storage itself: numpy() would first copy all of what a lazy clone shares.
    array: Array = part.to("cpu", copy=True).contiguous().view(_NARROW[part.dtype][0]).numpy()
    return array
