"""The way of recorded values from one device to the processor's memory: a queue beside the model's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch

from tracetui.models.devices.streams import SideStream, has_streams, pinned
from tracetui.tracer.capture.device_values import Batch, DeviceValue
from tracetui.tracer.capture.statistics import flat, with_layout

_SMALL = 2**22
"""Bytes up to which values are gathered on the device."""
_GATHERED = 2**25
"""Bytes of what they are gathered in, at least."""
_SLAB = 2**26
"""Bytes of pinned memory that is allocated at once: that takes long, and rounds up to a power of two."""
_ALIGNED = 64
_MOST_NORMED = 2**31
"""Elements."""
_NORMED = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Dtypes of which torch finds the largest magnitudes of many tensors at once; NaN if there is one."""
_Copy = tuple[DeviceValue, torch.Tensor]
"""A value, and the memory [numel] that its elements are on their way to."""


class DeviceLane:
    """The way from one device to the processor's memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = SideStream(device) if has_streams(device) else None
        self._gathered: torch.Tensor | None = None
        """On the device: small values side by side."""
        self._slab: torch.Tensor = torch.empty(0, dtype=torch.uint8)
        self._taken = 0

    def send(self, values: Sequence[DeviceValue]) -> Batch:
        """Have values copied, and looked at for NaN and infinities."""
        if self._side is None:
            return arrived(values)
        with self._side.after_the_model():
            return self._sent(values, self._side)

    def _sent(self, values: Sequence[DeviceValue], side: SideStream) -> Batch:
        rows = [flat(value.captured) for value in values]  # [numel] each
        normed = [(value, row) for value, row in zip(values, rows, strict=True) if _may_be_normed(row)]
        finite = self._room(len(normed), torch.bool)  # [normed]
        if normed:
            finite.copy_(_are_finite([row for _, row in normed]), non_blocking=True)
        batch = Batch(values, [value for value, _ in normed], finite)
        copies: list[_Copy] = []
        small = [(value, row) for value, row in zip(values, rows, strict=True) if row.nbytes <= _SMALL]
        large = [(value, row) for value, row in zip(values, rows, strict=True) if row.nbytes > _SMALL]
        for value, row in large:
            host = self._room(row.numel(), row.dtype)  # [numel]
            host.copy_(row, non_blocking=True)
            copies.append((value, host))
        copies += self._sent_together(small)
        batch.event = side.mark()
        # Not before there is an event: who looks at a value from another thread would wait for none.
        for value, host in copies:
            value.sent(with_layout(host, value.captured), batch)
        return batch

    def _sent_together(self, pairs: Sequence[tuple[DeviceValue, torch.Tensor]]) -> list[_Copy]:
        """Gather values on the device, and copy them in one piece. What comes next waits for that, on the queue."""
        starts, end = [], 0
        for _, row in pairs:
            starts.append(end)
            end += -(-row.nbytes // _ALIGNED) * _ALIGNED
        if not end:
            return [(value, self._room(0, row.dtype)) for value, row in pairs]
        if self._gathered is None or self._gathered.numel() < end:
            self._gathered = torch.empty(max(end, _GATHERED), dtype=torch.uint8, device=self._device)
        host = self._room(end, torch.uint8)  # [bytes]
        places = [
            (self._gathered[start : start + row.nbytes].view(row.dtype), row)
            for start, (_, row) in zip(starts, pairs, strict=True)
        ]
        for _, alike in groupby(sorted(places, key=lambda pair: str(pair[1].dtype)), key=lambda pair: pair[1].dtype):
            targets, sources = zip(*alike, strict=True)
            torch._foreach_copy_(list(targets), list(sources), non_blocking=True)
        host.copy_(self._gathered[:end], non_blocking=True)
        return [
            (value, host[start : start + row.nbytes].view(row.dtype))
            for start, (value, row) in zip(starts, pairs, strict=True)
        ]

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


def arrived(values: Sequence[DeviceValue]) -> Batch:
    """Values of a device without queues: copied while everybody waits."""
    batch = Batch(values, [], torch.empty(0, dtype=torch.bool))
    for value in values:
        row = flat(value.captured).cpu()  # [numel]
        value.sent(with_layout(row, value.captured), batch)
    return batch
