"""Work on a device beside what the model computes there, which waits for it only where it must."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch


class Event(Protocol):
    """A moment in a device's work."""

    def query(self) -> bool:
        """Whether it has come."""
        ...

    def synchronize(self) -> None:
        """Wait for it."""
        ...


class SideStream:
    """A queue of work of its own on one device. Used by the thread that runs the model."""

    def __init__(self, device: torch.device) -> None:
        self._streams: Any = torch.get_device_module(device)
        self._device = device
        self.stream: Any = self._streams.Stream(device)

    @contextmanager
    def after_the_model(self) -> Iterator[None]:
        """What is asked for in this `with` is done here, once all that the model was asked for until now is done."""
        self.stream.wait_stream(self.model_stream)
        with self._streams.stream(self.stream):
            yield

    @property
    def model_stream(self) -> Any:
        """The queue in which the model computes."""
        return self._streams.current_stream(self._device)

    def mark(self) -> Event:
        """The moment at which all that was asked for here until now is done."""
        event: Event = self._streams.Event()
        event.record(self.stream)  # type: ignore[attr-defined]
        return event

    def mark_model(self) -> Event:
        """The same of the model's own queue."""
        event: Event = self._streams.Event()
        event.record(self.model_stream)  # type: ignore[attr-defined]
        return event


def pinned(numel: int, dtype: torch.dtype) -> torch.Tensor:
    """Memory [numel] of the processor that a device reads and writes by itself; plain memory where there is no more.

    With plain memory the same copies are made, but whoever asks for one waits for it.
    """
    try:
        return torch.empty(numel, dtype=dtype, pin_memory=True)
    except RuntimeError:
        return torch.empty(numel, dtype=dtype)


def has_streams(device: torch.device) -> bool:
    """Whether a device can work on several queues: a processor can't, and torch has none for some others."""
    return device.type != "cpu" and hasattr(torch.get_device_module(device), "Stream")
