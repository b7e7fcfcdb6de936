"""Keeping a tensor as it is now, for the price of a pointer.

`torch._lazy_clone` gives an alias that shares the storage until somebody writes to it, so what was recorded
stays what the module returned even if the model goes on in place. It is private API: it is tried once, and
a plain clone stands in for it where it doesn't keep its word.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

Capture = Callable[[torch.Tensor], torch.Tensor]


def capture_function() -> Capture:
    """The cheapest way here to keep a tensor's present values; asked for by the thread that runs the model."""
    if is_all_on_the_processor():
        return _of_the_processor()
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return _shared_on_the_processor
    # A write to what is shared copies on the default stream: it would not wait for what another one is still computing.
    shares = torch.cuda.current_stream() == torch.cuda.default_stream() and _lazy_clone_works("cuda")
    return _of_the_processor() if shares else _shared_on_the_processor


def sharing_function() -> Capture:
    """The same for what lies in the processor's memory, without a question more.

    What is captured may need gradients still. Raises RuntimeError for what can't be shared.
    """
    return torch._lazy_clone if _lazy_clone_works("cpu") else _copied


def is_all_on_the_processor() -> bool:
    """Whether no tensor with values can lie anywhere else yet."""
    return not torch.cuda.is_initialized() and not _has_other_devices()  # type: ignore[no-untyped-call]


@cache
def _has_other_devices() -> bool:
    """Whether torch has some on which nobody has tried whether a lazy clone keeps its word."""
    return torch.backends.mps.is_available() or (hasattr(torch, "xpu") and torch.xpu.is_available())


@cache
def _of_the_processor() -> Capture:
    return _lazily if _lazy_clone_works("cpu") else _copied


def _shared_on_the_processor(tensor: torch.Tensor) -> torch.Tensor:
    return _of_the_processor()(tensor) if tensor.is_cpu else _copied(tensor)


def _lazily(tensor: torch.Tensor) -> torch.Tensor:
    try:
        kept: torch.Tensor = torch._lazy_clone(tensor.detach() if tensor.requires_grad else tensor)
    except RuntimeError:
        # Storage that torch didn't allocate, a mapped file's for one, can't be shared like this.
        return _copied(tensor)
    return kept


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone()


@cache
def _lazy_clone_works(device: str) -> bool:
    try:
        original = torch.arange(6.0, device=device).view(2, 3)
        kept, view_kept = _lazily(original), _lazily(original.t())
        original.add_(1)
        before = torch.arange(6.0, device=device).view(2, 3)
        return bool(torch.equal(kept, before)) and bool(torch.equal(view_kept, before.t()))
    except Exception:
        return False
