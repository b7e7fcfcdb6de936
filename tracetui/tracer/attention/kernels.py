"""Attention kernels that keep what they were given.

They stand beside those in transformers' interface, run the very kernel that the model would have run, and hand q, k, v,
the mask and the call's parameters to whoever observes this thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tracetui.errors import RunError
from tracetui.models.module_tree import KnownModel
from tracetui.models.ranks.local import is_spread, local_tensor
from tracetui.models.recordable.unshown import attention_configs, watched_kernel
from tracetui.recording.record import ABSORBED
from tracetui.tracer.attention.explicit import Show, StepByStep, no_mask
from tracetui.tracer.attention.interface import own_eager, published, registered
from tracetui.tracer.attention.kernel_call import KernelCall
from tracetui.tracer.observer import Observer, in_kernel, is_in_kernel, observer_here

_WITH_STEPS = ("sdpa", "eager", ABSORBED)
"""Kernels whose scores can be computed on the way, by the modelling file's own function."""

Output = tuple[torch.Tensor, torch.Tensor | None]


@contextmanager
def kernels_observed(known: KnownModel, kernel: str | None = None) -> Iterator[None]:
    """Have every attention module of a model that goes through transformers' interface report to who observes.

    kernel: what is registered to run instead of the model's own, which reports by `run_kernel`.
    """
    changed: list[tuple[Any, str | None]] = []
    try:
        for config in attention_configs(known):
            own = config._attn_implementation
            if (watched := watched_kernel(config)) is not None:
                changed.append((config, own))
                config._attn_implementation = kernel or registered(
                    watched, _KERNELS.get(watched, partial(_own, watched))
                )
        yield
    finally:
        for config, own in reversed(changed):
            config._attn_implementation = own


def goes_through(known: KnownModel) -> bool:
    """Whether a model's attention goes through transformers' interface, by a kernel that is known here."""
    return any(watched_kernel(config) is not None for config in attention_configs(known))


def _sdpa(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> Output:
    observer = None if is_in_kernel() else observer_here()
    if (
        observer is not None
        and not is_spread(query)
        and observer.kernel_later(module, query, key, value, attention_mask, kwargs)
    ):
        output: Output = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return _told(observer, output)
    if published(module, "sdpa") is not sdpa_attention_forward:
        return _own("sdpa", module, query, key, value, attention_mask, **kwargs)
    call = called(module, query, key, value, attention_mask, kwargs)
    if kwargs.get("softcap") is None and call.sinks is None:
        return run_kernel("sdpa", sdpa_attention_forward, call)
    # sdpa refuses a softcap and silently leaves sinks out; the model's own function knows both.
    return run_kernel("eager", own_eager(module), replace(call, mask=additive(call)))


def _own(
    kernel: str,
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> Output:
    """A function that somebody has put into the interface, whose arithmetic only its output can tell."""
    forward = published(module, kernel)
    name = getattr(forward, "__name__", kernel) if kernel == "sdpa" else kernel
    return run_kernel(name, forward, called(module, query, key, value, attention_mask, kwargs))


def eager(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> Output:
    """The model's own attention function, watched."""
    call = called(module, query, key, value, attention_mask, kwargs)
    if call.mask is not None and call.mask.dtype is torch.bool:
        # It adds booleans, too: 1 and 0, which hide nothing. As numbers they can't be taken for sdpa's.
        call = replace(call, mask=call.mask.to(query.dtype))
    return run_kernel("eager", published(module, "eager"), call)


def called(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    arguments: dict[str, Any],
) -> KernelCall:
    """A call as transformers' own kernels would have been given it.

    Sparse attention hides the keys that its indexer left out in the mask, but only for kernels that it knows by name:
    to others it gives the chosen keys as `indices` [B,T,chosen].
    """
    indices = arguments.get("indices")
    if isinstance(indices, torch.Tensor) and mask is not None:
        left_out = indices.new_ones((*indices.shape[:2], key.shape[2]), dtype=torch.bool)  # [B,T,S]
        left_out = left_out.scatter(-1, indices.long(), False).unsqueeze(1)  # [B,1,T,S]
        hidden = torch.finfo(query.dtype).min
        mask = mask & ~left_out if mask.dtype is torch.bool else mask.masked_fill(left_out, hidden)  # [B,1,T,S]
        arguments = {**arguments, "indices": None}
    return KernelCall(module, query, key, value, mask, arguments)


def run_kernel(kernel: str, forward: Any, call: KernelCall) -> Output:
    """Run `forward` on a call, asking the observer before and after; `kernel` is what the trace calls it."""
    observer = observer_here()
    if observer is None or is_in_kernel():
        # Where a trace is taken within another one, a kernel that reports runs in one that has reported.
        return _forwarded(forward, call)
    if is_spread(call.query):
        return _run_on_ranks(kernel, forward, call, observer)
    call = observer.kernel_in(call, partial(call.described, kernel, forward))
    show = observer.kernel_step(call)
    with in_kernel():
        output = _forwarded(forward, call) if show is None else _step_by_step(kernel, forward, call, show)
    return _told(observer, output)


def _run_on_ranks(kernel: str, forward: Any, call: KernelCall, observer: Observer) -> Output:
    """Run `forward` on heads that several ranks hold together, and show the observer those that lie here."""
    here = [local_tensor(each) for each in (call.query, call.key, call.value)]
    mask = None if call.mask is None else local_tensor(call.mask)
    shown = KernelCall(call.module, here[0], here[1], here[2], mask, call.arguments)
    observer.kernel_in(shown, partial(shown.described, kernel, forward))
    with in_kernel():
        output = _forwarded(forward, call)
    observer.kernel_out(local_tensor(output[0]).transpose(1, 2))
    return output


def _told(observer: Observer, output: Output) -> Output:
    """What a kernel returned, as the observer leaves it."""
    heads = output[0].transpose(1, 2)  # [B,T,H,Kv] -> [B,H,T,Kv]
    kept = observer.kernel_out(heads)  # [B,H,T,Kv]
    return output if kept is heads else (kept.transpose(1, 2).contiguous(), *output[1:])


def has_steps(call: KernelCall, kernel: str) -> bool:
    """Whether the modelling file has an attention function for this call whose steps can be overheard."""
    own = own_eager(call.module)
    return kernel in _WITH_STEPS and own is not None and not call.leaves_out(own)


def _forwarded(forward: Any, call: KernelCall) -> Output:
    output: Output = forward(call.module, call.query, call.key, call.value, call.mask, **call.arguments)
    return output


def _step_by_step(kernel: str, forward: Any, call: KernelCall, show: Show) -> Output:
    """The output of a call whose scores and probabilities are shown, by the model's own function instead of sdpa."""
    mask = additive(call) if kernel == "sdpa" else call.mask  # [B,1 or H,T,S]
    call = replace(call, mask=no_mask(call.query, call.key) if mask is None else mask)  # [B,1 or H,T,S]
    assert call.mask is not None
    if kernel == "sdpa" and call.position_bias is None:
        show = _without_blind_rows(show, mask)
    with StepByStep(call.mask, show, sinks=call.sinks is not None) as steps:
        output = _forwarded(own_eager(call.module) if kernel == "sdpa" else forward, call)
    if not steps.complete:
        raise RunError(f"{type(call.module).__name__}: its attention is computed in a way whose scores aren't seen")
    # sdpa gives no weights back: what the module returns stays the same.
    return (output[0], None) if kernel == "sdpa" else output


def _without_blind_rows(show: Show, mask: torch.Tensor | None) -> Show:
    """Show probabilities as sdpa has them: 0 in a row that the mask hides whole, where eager attention has shares."""
    blind = None if mask is None else (mask <= torch.finfo(mask.dtype).min).all(dim=-1, keepdim=True)  # [B,1 or H,T,1]
    if blind is None or not blind.any():
        return show
    return lambda role, matrices: show(role, matrices.masked_fill(blind, 0) if role == "probs" else matrices)


def additive(call: KernelCall) -> torch.Tensor | None:
    """The mask as eager attention adds it; sdpa's is boolean, and absent where plain causality is meant.

    That counts from the upper left: of more keys than queries, a static cache's, those at the end are empty.
    """
    mask, (queries, keys) = call.mask, (call.query.shape[2], call.key.shape[2])
    if mask is None and call.causal and queries > 1:
        mask = call.query.new_ones(1, 1, queries, keys, dtype=torch.bool).tril()  # [1,1,T,S]
    if mask is None or mask.dtype is not torch.bool:
        return mask
    hidden = torch.finfo(call.query.dtype).min
    return call.query.new_zeros(mask.shape).masked_fill_(~mask, hidden)  # [B,1,T,S]


_KERNELS = {"sdpa": _sdpa, "eager": eager}
