"""Attention kernels that keep what they were given.

They are registered beside transformers' own (AttentionInterface and AttentionMaskInterface), run the very
kernel that the model would have run, and hand q, k, v, the mask and the call's parameters to whoever watches
this thread.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

from tracetui.trace.record import AttentionCall

_NAMES = {"sdpa": "tracetui_sdpa", "eager": "tracetui_eager"}
_watching = threading.local()

Output = tuple[torch.Tensor, torch.Tensor | None]


class Witness(Protocol):
    """Who is told of a kernel's call."""

    def attention_inputs(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        call: AttentionCall,
    ) -> None:
        """q [B,H,T,K], k [B,G,S,K], v [B,G,S,Kv], mask [B,1 or H,T,S] or None, before the kernel runs."""
        ...

    def attention_heads(self, heads: torch.Tensor) -> None:
        """Each head's output [B,H,T,Kv], after the kernel ran."""
        ...


@contextmanager
def witnessed(model: nn.Module, witness: Witness) -> Iterator[None]:
    """Have every attention module of the model that goes through transformers' interface report to `witness`."""
    changed: list[tuple[Any, str]] = []
    _watching.witness = witness
    try:
        for config in _configs(model):
            own = config._attn_implementation
            if own in _NAMES:
                changed.append((config, own))
                config._attn_implementation = _NAMES[own]
        yield
    finally:
        _watching.witness = None
        for config, own in reversed(changed):
            config._attn_implementation = own


def _configs(model: nn.Module) -> list[Any]:
    """The different configurations that the model's modules read, outermost last: setting it sets those inside."""
    found: dict[int, Any] = {}
    for module in model.modules():
        # Not getattr: nn.Module's own is slow where there is none.
        config = vars(module).get("config")
        if hasattr(config, "_attn_implementation"):
            found[id(config)] = config
    return list(found.values())


def _sdpa(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> Output:
    told = {name for name, given in kwargs.items() if given is not None}
    if told & {"softcap", "s_aux"}:
        # sdpa refuses a softcap and silently leaves sinks out; the model's own function knows both.
        additive = _additive(attention_mask, query)
        return _eager(module, query, key, value, additive, **kwargs)
    return _run("sdpa", sdpa_attention_forward, module, query, key, value, attention_mask, kwargs)


def _eager(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> Output:
    own = sys.modules[type(module).__module__].eager_attention_forward
    return _run("eager", own, module, query, key, value, attention_mask, kwargs)


def _run(
    kernel: str,
    forward: Any,
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    kwargs: dict[str, Any],
) -> Output:
    witness: Witness | None = getattr(_watching, "witness", None)
    if witness is not None:
        witness.attention_inputs(query, key, value, mask, _call(kernel, module, query, key, mask, kwargs))
    output: Output = forward(module, query, key, value, mask, **kwargs)
    if witness is not None:
        witness.attention_heads(output[0].transpose(1, 2))  # [B,T,H,Kv] -> [B,H,T,Kv]
    return output


def _call(
    kernel: str,
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    kwargs: dict[str, Any],
) -> AttentionCall:
    scale = kwargs.get("scaling")
    said = kwargs.get("is_causal")
    causal = bool(getattr(module, "is_causal", True) if said is None else said)
    return AttentionCall(
        scale=float(query.shape[-1] ** -0.5 if scale is None else scale),
        is_causal=kernel == "sdpa" and causal and mask is None and query.shape[2] > 1,
        kernel=kernel,
        softcap=kwargs.get("softcap"),
        sliding_window=kwargs.get("sliding_window"),
        heads=query.shape[1],
        kv_heads=key.shape[1],
    )


def _additive(mask: torch.Tensor | None, query: torch.Tensor) -> torch.Tensor | None:
    if mask is None or mask.dtype is not torch.bool:
        return mask
    hidden = torch.finfo(query.dtype).min
    return torch.zeros(mask.shape, dtype=query.dtype).masked_fill_(~mask, hidden)  # [B,1,T,S]


AttentionInterface.register(_NAMES["sdpa"], _sdpa)
AttentionInterface.register(_NAMES["eager"], _eager)
AttentionMaskInterface.register(_NAMES["sdpa"], sdpa_mask)
AttentionMaskInterface.register(_NAMES["eager"], eager_mask)
