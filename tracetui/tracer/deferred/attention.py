"""Attention calls, told later: what each kernel received, and what it made of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from tracetui.recording.record import AttentionCall
from tracetui.tracer.attention.explicit import Show
from tracetui.tracer.attention.kernel_call import KernelCall
from tracetui.tracer.attention.mla import Latents
from tracetui.tracer.attention.plain_calls import ANY_MODULE, PlainCalls
from tracetui.tracer.deferred import describing as steps
from tracetui.tracer.deferred.describing import DescribedKernel
from tracetui.tracer.deferred.pass_log import PassLog
from tracetui.tracer.hooks.attention import AttentionWatch, Roles


class DeferredAttention:
    """What an Observer is told of kernels. Used by the model's thread alone."""

    def __init__(self, attention: AttentionWatch, log: PassLog, latents: Latents) -> None:
        self._attention, self._log, self._latents = attention, log, latents
        self._number, self._steps = log.snapshots.number, log.steps
        self._plain_calls = PlainCalls()
        self._shows_steps = False
        self._latent: Roles = ()
        """What the call that is reported now could be computed from instead, until it is told of."""
        self.latent = attention.latent

    def kernel_later(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        arguments: dict[str, Any],
    ) -> bool:
        about = self._plain_calls.parameters(module, arguments)
        if about is None or not self._log.is_calm():
            return False
        numbers = self._log.numbers((query, key, value) if mask is None else (query, key, value, mask))
        if not self._log.snapshots.are_sound(numbers):
            return False
        if self._latents.has(module):
            self._latent = self._attention.latent_roles(KernelCall(module, query, key, value, mask, arguments))
        return self._tell(steps.KERNEL_BEGAN, about, numbers)

    def _tell(self, kind: int, about: object, numbers: tuple[int, ...]) -> bool:
        """Put a call in the log, with what it could be computed from instead; False if that is to be told at once."""
        self._steps += kind, about, numbers, 0.0
        if not self._latent:
            return True
        roles, tensors = zip(*self._latent, strict=True)
        beside = self._log.numbers(tensors)
        if self._log.takes(beside):
            self._steps += steps.LATENT, roles, beside, 0.0
            self._latent = ()
            return True
        del self._steps[-steps.WIDTH :]
        return False

    def kernel_in(self, call: KernelCall, describe: Callable[[], AttentionCall]) -> KernelCall:
        tensors = [call.query, call.key, call.value, *(() if call.mask is None else (call.mask,))]
        numbers = self._log.numbers(tensors)
        self._latent = self._latent or self._attention.latent_roles(call)
        beside = call.own is not None or call.sinks is not None or call.position_bias is not None
        self._shows_steps = beside or not self._log.takes(numbers) or not self._described(call, describe, numbers)
        if not self._shows_steps:
            return call
        self._log.settle()
        latent, self._latent = self._latent, ()
        query, key, value, *mask = self._log.snapshots.instead(numbers, tensors)
        seen = KernelCall(call.module, query, key, value, next(iter(mask), None), call.arguments, call.own)
        made = self._attention.kernel_in(seen, describe, latent)
        if made is seen:
            return call
        changed = {role: getattr(made, role) for role in ("query", "key", "value")}
        return replace(call, **{role: new for role, new in changed.items() if new is not getattr(seen, role)})

    def _described(self, call: KernelCall, describe: Callable[[], AttentionCall], numbers: tuple[int, ...]) -> bool:
        """Put a call in the log that isn't torch's own kernel's, or not a plain one."""
        described = describe()
        plain = described.kernel == "sdpa" and not described.unexplained
        self._log.whole = self._log.whole and plain
        # Of the module no more than its class is asked, for remarks on what isn't plain.
        module, arguments = (ANY_MODULE, {}) if plain else (call.module, call.arguments)
        return self._tell(steps.KERNEL_DESCRIBED, DescribedKernel(module, arguments, described), numbers)

    def kernel_step(self, call: KernelCall) -> Show | None:
        return self._attention.kernel_step(call) if self._shows_steps else None

    def kernel_out(self, heads: torch.Tensor) -> torch.Tensor:
        number = self._number(heads)
        if self._log.takes((number,)):
            self._steps += steps.KERNEL_ENDED, None, number, 0.0
            return heads
        self._log.settle()
        (seen,) = self._log.snapshots.instead((number,), (heads,))
        made = self._attention.kernel_out(seen)
        return heads if made is seen else made
