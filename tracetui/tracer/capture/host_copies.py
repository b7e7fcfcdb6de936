"""Recorded values of a device on their way to the processor's memory, while the model goes on.

They are sent in batches on a queue of their own: gathered on the device, copied to pinned memory in one piece, with an
event behind each batch. Whether all in a value is finite is found out on the device on the way. Who reads a value waits
for its event, and nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch

from tracetui.models.devices.memory import free_bytes
from tracetui.tracer.capture.device_lane import DeviceLane, arrived
from tracetui.tracer.capture.device_values import Batch, DeviceValue

_BATCH = 2**24
"""Bytes of values that are sent together."""
_MOST_SENT = 2**31
"""Bytes on their way, and on the device still, for which nobody waits."""
_SPARE = 2**30
"""Bytes that a device must have free for the model itself, where values are held on it."""
_LOOKED_FOR = 2**28
"""Bytes of values after which somebody looks whether it has."""


class HostCopies:
    """Of one run. The model's thread alone sends."""

    def __init__(self) -> None:
        self._lanes: dict[torch.device, DeviceLane] = {}
        self._waiting: list[DeviceValue] = []
        self._waiting_bytes = 0
        self._sent: list[Batch] = []
        self.held = False
        """Whether captured tensors must stay as they are: until a pass is described they stand for the model's own."""
        self.is_full = False
        """Whether a device has no room for more of these in this pass."""
        self._held_bytes = self._looked_at = 0

    def hold(self) -> bool:
        """What is captured from now on stays until its pass is over; False where there is no room for more."""
        self.held = not self.is_full
        return self.held

    def value(self, captured: torch.Tensor) -> DeviceValue:
        """A value that will be copied."""
        value = DeviceValue(captured)
        self._waiting.append(value)
        self._waiting_bytes += value.nbytes
        if self._waiting_bytes >= _BATCH:
            self.send()
        return value

    def send(self) -> None:
        """Have all that waits copied; what has arrived is let go on the device."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        for device, values in groupby(waiting, key=lambda value: value.device):
            if device not in self._lanes:
                self._lanes[device] = DeviceLane(device)
            self._sent.append(self._batch(self._lanes[device], list(values)))
            if self.held:
                self._sent[-1].held = True
                self._held_bytes += self._sent[-1].nbytes
        if self._held_bytes - self._looked_at >= _LOOKED_FOR:
            self._look_for_room()
        sent = sum(batch.nbytes for batch in self._sent if not batch.held)
        for batch in [batch for batch in self._sent if not batch.held]:
            if not batch.is_there and sent <= _MOST_SENT:
                break
            sent -= batch.nbytes
            self._sent.remove(batch)
            batch.let_go()

    def _look_for_room(self) -> None:
        """Hold no more values where hardly any memory is left for the model."""
        self._looked_at = self._held_bytes
        if any(free_bytes(device) < _SPARE for device in self._lanes):
            self.is_full, self.held = True, False

    @staticmethod
    def _batch(lane: DeviceLane, values: Sequence[DeviceValue]) -> Batch:
        try:
            return lane.send(values)
        except torch.OutOfMemoryError:
            # What the model left no room for: each by itself, with nothing gathered beside it.
            torch.cuda.empty_cache()
            return arrived(values)

    def finish(self) -> None:
        """Wait until all that was captured is in the processor's memory: once, for the newest."""
        if self._waiting:
            self.send()
        for batch in reversed(self._sent):
            batch.wait()

    def let_go(self) -> None:
        """The same, and nothing stays on the device."""
        self.finish()
        for batch in self._sent:
            batch.let_go()
        self._sent.clear()
        self.held = self.is_full = False
        self._held_bytes = self._looked_at = 0
