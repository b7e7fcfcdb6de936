"""Who watches the forward pass that runs on this thread: modules, attention kernels and experts report to one observer.

What runs inside modules, kernels and experts that are registered with transformers, asks for it here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

if TYPE_CHECKING:
    from tracetui.models.weights.experts import ExpertWeights
    from tracetui.recording.record import AttentionCall
    from tracetui.tracer.attention.explicit import Show
    from tracetui.tracer.attention.kernel_call import KernelCall
    from tracetui.tracer.attention.mla import LatentCall
    from tracetui.tracer.hooks.module_site import ModuleSite

Choice = tuple[torch.Tensor, torch.Tensor]
"""The experts [N,A] that tokens go to, and the weights [N,A] of their outputs."""


class KernelObserver(Protocol):
    """Is told of each attention call, and may change what the model goes on with."""

    def kernel_in(self, call: KernelCall, describe: Callable[[], AttentionCall]) -> KernelCall:
        """What an attention kernel is about to receive, and how a trace describes it; returns what it shall."""
        ...

    def kernel_step(self, call: KernelCall) -> Show | None:
        """Who is shown scores and probabilities on the way; None where the kernel may run as it is."""
        ...

    def kernel_out(self, heads: torch.Tensor) -> torch.Tensor:
        """Each head's output [B,H,T,Kv], after the kernel ran; returns what the model shall go on with."""
        ...


class Observer(KernelObserver, Protocol):
    """Is told of each step of a forward pass, on the thread that runs it, and may change what the model goes on with.

    One that wraps another, as to gather what several ranks have each, passes on what it doesn't handle itself.
    """

    def module_in(
        self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        """A module is about to run on these arguments."""
        ...

    def module_out(self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """It has run. Returns what it shall give back instead; None where that is its own output."""
        ...

    def kernel_later(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        arguments: dict[str, Any],
    ) -> bool:
        """Whether torch's own kernel may run on these at once, and `kernel_out` alone is told; else `kernel_in` is."""
        ...

    def latent(self, module: nn.Module) -> LatentCall | None:
        """What the attention call that `kernel_in` was told of can be computed from instead; told once."""
        ...

    def experts_in(self, module: nn.Module, experts: torch.Tensor, routing_weights: torch.Tensor) -> Choice:
        """The experts [N,A] that were chosen and the weights [N,A] that they got; returns those that shall count."""
        ...

    def expert_in(self, expert: int, tokens: torch.Tensor, inputs: torch.Tensor) -> None:
        """The positions [n] of the tokens that an expert is about to see, and their hidden states [n,D]."""
        ...

    def expert_weights(self, module: nn.Module, expert: int) -> ExpertWeights | None:
        """An expert's own parameters; None where they stand in the module."""
        ...

    def expert_out(self, module: nn.Module, expert: int, output: torch.Tensor) -> torch.Tensor:
        """What an expert made of its tokens [n,D], before the routing weights; returns what shall count."""
        ...


class _Here(threading.local):
    observer: Observer | None = None
    in_kernel: bool = False


_here = _Here()


def observer_here() -> Observer | None:
    """Who watches what this thread runs; None where nobody does."""
    return _here.observer


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Have what this thread runs report to `observer` for the length of a `with`, and then to whom it did before."""
    before, _here.observer = _here.observer, observer
    try:
        yield
    finally:
        _here.observer = before


@contextmanager
def in_kernel() -> Iterator[None]:
    """Around what a kernel computes that has reported its call."""
    before, _here.in_kernel = _here.in_kernel, True
    try:
        yield
    finally:
        _here.in_kernel = before


def is_in_kernel() -> bool:
    """Whether this thread computes in such a kernel."""
    return _here.in_kernel
