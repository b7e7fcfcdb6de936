"""Calls of torch's own attention kernel of which all is known: no more of them than their tensors need be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tracetui.tracer.attention.interface import published
from tracetui.tracer.attention.kernel_call import KernelCall
from tracetui.tracer.observer import KernelObserver

ANY_MODULE = nn.Identity()
"""Stands for the module of a call that says all itself."""
_NOT_PLAIN = ("softcap", "s_aux", "sinks", "position_bias", "indices")
"""Arguments that change a score, or the mask."""


class PlainCalls:
    """Of one watch; used by the model's thread alone."""

    def __init__(self) -> None:
        self._kinds: dict[type[nn.Module], bool] = {}
        """Of attention modules by class, whether what they call sdpa is transformers' own."""

    def parameters(self, module: nn.Module, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """All that a trace tells of a call beside its tensors; None of one that isn't plain."""
        kind = module.__class__
        if (plain := self._kinds.get(kind)) is None:
            plain = self._kinds[kind] = published(module, "sdpa") is sdpa_attention_forward
        if not plain or arguments.get("dropout") or any(arguments.get(name) is not None for name in _NOT_PLAIN):
            return None
        about = {name: arguments.get(name) for name in ("scaling", "sliding_window", "is_causal")}
        if about["is_causal"] is None:
            about["is_causal"] = getattr(module, "is_causal", True)
        return about


def tell(observer: KernelObserver, about: dict[str, Any], tensors: Sequence[torch.Tensor]) -> None:
    """Tell of a plain call that has run on q, k, v and perhaps a mask."""
    query, key, value, *mask = tensors
    call = KernelCall(ANY_MODULE, query, key, value, next(iter(mask), None), about)
    observer.kernel_in(call, partial(call.described, "sdpa", sdpa_attention_forward))
