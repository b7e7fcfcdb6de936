"""Weights on their way to a device: made or read by the processor, while the device computes with those before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch

from tracetui.models.devices.streams import Event, SideStream, has_streams, pinned
from tracetui.models.weights.sources import TensorSpec, Tick, WeightSource

STAGING = 2**25
"""Bytes of each of the two buffers that a device reads by itself."""
_ALIGNED = 64
AHEAD = 2**29
"""Bytes of weights that may be on a device before it has computed with those that were there before."""


class UploadedSource:
    """A source of weights on a device: what another one reads, put there."""

    def __init__(self, source: WeightSource, device: torch.device) -> None:
        self._source = source
        self._device = device
        self._uploads = Uploads(device) if has_streams(device) else None

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        return self._source.provenance(spec, rows)

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        made = self._source.read(spec, rows, tick)
        return made.to(self._device) if self._uploads is None else self._uploads.send(made)


class Uploads:
    """Copies tensors to a device through two buffers, one filled while the device reads the other."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = SideStream(device)
        self._buffers: list[torch.Tensor] = []
        """The newest is being filled, the other one may be being read."""
        self._filled = STAGING
        """Bytes of the newest that are taken."""
        self._read: Event | None = None
        """When the device has read all of the other."""
        self._ahead: deque[tuple[Event, int]] = deque()
        """When the device had done what it was asked for before each of the last tensors, and their bytes."""

    def send(self, made: torch.Tensor) -> torch.Tensor:
        """The tensor on the device. What the model is asked for from now on waits until it is there."""
        self._wait_for_room(made.nbytes)
        source = made.detach().contiguous().view(-1).view(torch.uint8)  # [bytes]
        with self._side.after_the_model():
            sent = torch.empty_like(made, device=self._device, memory_format=torch.contiguous_format)
            target = sent.view(-1).view(torch.uint8)  # [bytes]
            done = 0
            while done < source.numel():
                buffer = self._room()  # [bytes]
                part = source[done : done + buffer.numel()]  # [bytes]
                buffer[: part.numel()].copy_(part)
                target[done : done + part.numel()].copy_(buffer[: part.numel()], non_blocking=True)
                self._filled += -(-part.numel() // _ALIGNED) * _ALIGNED
                done += part.numel()
        self._side.model_stream.wait_stream(self._side.stream)
        # Dropped, its memory may go to the next one only when the model has read it.
        sent.record_stream(self._side.model_stream)
        return sent

    def _room(self) -> torch.Tensor:
        """What is left of the buffer being filled [bytes]; once that is full, the other, when it has been read."""
        if self._filled >= STAGING:
            read, self._read, self._filled = self._read, self._side.mark(), 0
            if len(self._buffers) < 2:
                self._buffers.append(pinned(STAGING, torch.uint8))
            else:
                self._buffers.reverse()
                assert read is not None
                read.synchronize()
        return self._buffers[-1][self._filled :]

    def _wait_for_room(self, nbytes: int) -> None:
        """Wait until the device has computed with so many of the last tensors that this one may be there too."""
        while self._ahead and sum(size for _, size in self._ahead) + nbytes > AHEAD:
            self._ahead.popleft()
            if self._ahead:
                # What was sent first has been used when the next one but one is asked for.
                self._ahead[0][0].synchronize()
        self._ahead.append((self._side.mark_model(), nbytes))
