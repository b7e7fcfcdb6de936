"""Recorded values of a device on their way to the processor's memory, while the model goes on.

They are sent in batches on a queue of their own: gathered on the device, copied to pinned memory in one piece, with an
event behind each batch. Whether all in a value is finite is found out on the device on the way. Who reads a value waits
for its event, and nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from threading import Lock

import torch

from tracetui.models.devices.memory import free_bytes
from tracetui.models.devices.streams import Event, SideStream, has_streams, pinned
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Array, Index
from tracetui.tracer.capture.statistics import flat, floats_in, is_finite, of_tensor, with_layout
from tracetui.tracer.capture.values import TorchValue

_BATCH = 2**24
"""Bytes of values that are sent together."""
_SLAB = 2**26
"""Bytes of pinned memory that is allocated at once: that takes long, and rounds up to a power of two."""
_MOST_SENT = 2**31
"""Bytes on their way, and on the device still, for which nobody waits."""
_SPARE = 2**30
"""Bytes that a device must have free for the model itself, where values are held on it."""
_LOOKED_FOR = 2**28
"""Bytes of values after which somebody looks whether it has."""
_ALIGNED = 64
_MOST_NORMED = 2**31
"""Elements."""
_NORMED = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Dtypes of which torch finds the largest magnitudes of many tensors at once; NaN if there is one."""


class DeviceValue(TorchValue):
    """A captured tensor on a device, and from some moment on a copy of it in the processor's memory."""

    __slots__ = ("_batch", "_copy", "device")

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__(tensor)
        self.device = tensor.device
        """Where the model had it."""
        self._copy: torch.Tensor | None = None
        self._batch: _Batch | None = None

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

    def sent(self, copy: torch.Tensor, batch: _Batch) -> None:
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
        if self.finite is None and self._batch is not None:
            self._batch.wait()
        if self.finite is None:
            self.finite = is_finite(self.at_hand) if self._statistics is None else self._statistics.finite
        return self.finite

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = of_tensor(self.at_hand)
        return self._statistics

    def floats(self) -> tuple[int, int, int] | None:
        return floats_in(self.at_hand) if self._statistics is None else None


class _Batch:
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


class HostCopies:
    """Of one run. The model's thread alone sends."""

    def __init__(self) -> None:
        self._lanes: dict[torch.device, _Lane] = {}
        self._waiting: list[DeviceValue] = []
        self._waiting_bytes = 0
        self._sent: list[_Batch] = []
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
                self._lanes[device] = _Lane(device)
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
    def _batch(lane: _Lane, values: Sequence[DeviceValue]) -> _Batch:
        try:
            return lane.send(values)
        except torch.OutOfMemoryError:
            # What the model left no room for: each by itself, with nothing gathered beside it.
            torch.cuda.empty_cache()
            return _arrived(values)

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


class _Lane:
    """The way from one device to the processor's memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = SideStream(device) if has_streams(device) else None
        self._gathered: torch.Tensor | None = None
        """On the device: small values side by side."""
        self._slab: torch.Tensor = torch.empty(0, dtype=torch.uint8)
        self._taken = 0

    def send(self, values: Sequence[DeviceValue]) -> _Batch:
        """Have values copied, and looked at for NaN and infinities."""
        if self._side is None:
            return _arrived(values)
        with self._side.after_the_model():
            return self._sent(values, self._side)

    def _sent(self, values: Sequence[DeviceValue], side: SideStream) -> _Batch:
        rows = [flat(value.captured) for value in values]  # [numel] each
        normed = [(value, row) for value, row in zip(values, rows, strict=True) if _may_be_normed(row)]
        finite = self._room(len(normed), torch.bool)  # [normed]
        if normed:
            finite.copy_(_are_finite([row for _, row in normed]), non_blocking=True)
        batch = _Batch(values, [value for value, _ in normed], finite)
        small = [(value, row) for value, row in zip(values, rows, strict=True) if row.nbytes * 4 <= _BATCH]
        large = [(value, row) for value, row in zip(values, rows, strict=True) if row.nbytes * 4 > _BATCH]
        for value, row in large:
            host = self._room(row.numel(), row.dtype)  # [numel]
            host.copy_(row, non_blocking=True)
            value.sent(with_layout(host, value.captured), batch)
        self._send_together(small, batch)
        batch.event = side.mark()
        return batch

    def _send_together(self, pairs: Sequence[tuple[DeviceValue, torch.Tensor]], batch: _Batch) -> None:
        """Gather values on the device, and copy them in one piece. What comes next waits for that, on the queue."""
        starts, end = [], 0
        for _, row in pairs:
            starts.append(end)
            end += -(-row.nbytes // _ALIGNED) * _ALIGNED
        if not end:
            for value, row in pairs:
                value.sent(with_layout(self._room(0, row.dtype), value.captured), batch)
            return
        if self._gathered is None or self._gathered.numel() < end:
            self._gathered = torch.empty(max(end, 2 * _BATCH), dtype=torch.uint8, device=self._device)
        host = self._room(end, torch.uint8)  # [bytes]
        places = [
            (self._gathered[start : start + row.nbytes].view(row.dtype), row)
            for start, (_, row) in zip(starts, pairs, strict=True)
        ]
        for _, alike in groupby(sorted(places, key=lambda pair: str(pair[1].dtype)), key=lambda pair: pair[1].dtype):
            targets, sources = zip(*alike, strict=True)
            torch._foreach_copy_(list(targets), list(sources), non_blocking=True)
        host.copy_(self._gathered[:end], non_blocking=True)
        for start, (value, row) in zip(starts, pairs, strict=True):
            value.sent(with_layout(host[start : start + row.nbytes].view(row.dtype), value.captured), batch)

    def _room(self, numel: int, dtype: torch.dtype) -> torch.Tensor:
        """Pinned memory for so many elements [numel]."""
        nbytes = -(-numel * dtype.itemsize // _ALIGNED) * _ALIGNED
        if nbytes > self._slab.numel() - self._taken:
            if nbytes * 4 > _SLAB:
                return pinned(numel, dtype)
            self._slab, self._taken = pinned(_SLAB, torch.uint8), 0
        start, self._taken = self._taken, self._taken + nbytes
        return self._slab[start : start + numel * dtype.itemsize].view(dtype)


def _may_be_normed(row: torch.Tensor) -> bool:
    """Whether torch finds its largest magnitude beside others'; of what is beyond that all are looked at later."""
    return row.dtype in _NORMED and 0 < row.numel() < _MOST_NORMED


def _are_finite(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """For each of these rows [numel], on their device, whether no element is NaN or infinite."""
    flags = [
        torch.stack(torch._foreach_norm(list(alike), float("inf"))).isfinite()
        for _, alike in groupby(rows, key=lambda row: row.dtype)
    ]
    return torch.cat(flags)  # [rows]


def _arrived(values: Sequence[DeviceValue]) -> _Batch:
    """Values of a device without queues: copied while everybody waits."""
    batch = _Batch(values, [], torch.empty(0, dtype=torch.bool))
    for value in values:
        row = flat(value.captured).cpu()  # [numel]
        value.sent(with_layout(row, value.captured), batch)
    return batch
