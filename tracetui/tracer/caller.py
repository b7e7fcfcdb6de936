"""What torch keeps for each thread, taken from one and put in force on another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch


def _gpus_are_used() -> bool:
    """Whether anybody has: asking for the one that is current would begin to."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


_KINDS = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True, eq=False, slots=True)
class Caller:
    """One thread's modes: gradients, inference, autocast, default device."""

    gradients: bool
    inference: bool
    autocast: tuple[tuple[str, torch.dtype], ...]
    """The kinds of device for which it is on, with the dtype."""
    autocast_cache: bool
    device: torch.device
    gpu: int | None
    """The number of the GPU that is meant where none is named; None where nobody has used any."""
    stream: torch.cuda.Stream | None
    """In which work goes to it."""

    @classmethod
    def here(cls) -> Caller:
        """Those of the thread that asks."""
        on = tuple((kind, torch.get_autocast_dtype(kind)) for kind in _KINDS if torch.is_autocast_enabled(kind))
        return cls(
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            on,
            torch.is_autocast_cache_enabled(),
            torch.get_default_device(),
            *((torch.cuda.current_device(), torch.cuda.current_stream()) if _gpus_are_used() else (None, None)),
        )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """In force on this thread for the length of a `with`."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(self.inference))
            stack.enter_context(torch.set_grad_enabled(self.gradients))
            for kind, dtype in self.autocast:
                stack.enter_context(torch.autocast(kind, dtype, cache_enabled=self.autocast_cache))
            if self.gpu is not None:
                stack.enter_context(torch.cuda.device(self.gpu))
                stack.enter_context(torch.cuda.stream(self.stream))
            if self.device.type != "cpu":
                stack.enter_context(self.device)
            yield
