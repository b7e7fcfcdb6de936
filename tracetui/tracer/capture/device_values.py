"""Values of tensors on a device, and the batches in which they are copied to the processor's memory."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import torch

from tracetui.models.devices.streams import Event
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Array, Index
from tracetui.tracer.capture.statistics import floats_in, is_finite, of_tensor
from tracetui.tracer.capture.values import TorchValue


class DeviceValue(TorchValue):
    """A captured tensor on a device, and from some moment on a copy of it in the processor's memory."""

    __slots__ = ("_batch", "_copy", "device")

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__(tensor)
        self.device = tensor.device
        """Where the model had it."""
        self._copy: torch.Tensor | None = None
        self._batch: Batch | None = None

    @property
    def tensor(self) -> torch.Tensor:
        """The captured tensor, on its device, as one that may be written to."""
        captured = self.captured
        return captured.to(self.device) if captured.is_cpu else super().tensor

    @property
    def at_hand(self) -> torch.Tensor:
        """The values in the processor's memory, waited for, once they are sent there; else on the device."""
        copy, batch = self._copy, self._batch
        if copy is None or batch is None:
            return self.captured
        batch.wait()
        return copy

    def sent(self, copy: torch.Tensor, batch: Batch) -> None:
        """A copy is on its way."""
        self._copy, self._batch = copy, batch

    def let_go(self) -> None:
        """The copy is there, and stands for the tensor from now on."""
        if self._copy is not None:
            self.captured = self._copy
            self._copy = self._batch = None

    def read(self, index: Index = ()) -> Array:
        return TorchValue(self.at_hand).read(index)

    def all_finite(self) -> bool:
        # Asked for once: the model's thread may let go of the batch meanwhile.
        if self.finite is None and (batch := self._batch) is not None:
            batch.wait()
        if self.finite is None:
            self.finite = is_finite(self.at_hand) if self._statistics is None else self._statistics.finite
        return self.finite

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = of_tensor(self.at_hand)
        return self._statistics

    def floats(self) -> tuple[int, int, int] | None:
        return floats_in(self.at_hand) if self._statistics is None else None


class Batch:
    """Values that are sent together."""

    held = False
    """Whether its captured tensors must stay until their pass is over."""

    def __init__(self, values: Sequence[DeviceValue], normed: Sequence[DeviceValue], finite: torch.Tensor) -> None:
        """finite: a flag for each of `normed`, in the processor's memory once the batch is there."""
        self.values, self.nbytes = values, sum(value.nbytes for value in values)
        self._normed, self._finite = normed, finite
        self._lock = Lock()
        self.event: Event | None = None

    def wait(self) -> None:
        """Wait until all is there. From any thread."""
        if self.event is None:
            return
        with self._lock:
            if (event := self.event) is not None:
                event.synchronize()
                for value, finite in zip(self._normed, self._finite.tolist(), strict=True):
                    value.finite = finite
                self.event = None

    def let_go(self) -> None:
        """Wait until all is there, and keep nothing on the device."""
        self.wait()
        for value in self.values:
            value.let_go()

    @property
    def is_there(self) -> bool:
        event = self.event
        return event is None or event.query()
