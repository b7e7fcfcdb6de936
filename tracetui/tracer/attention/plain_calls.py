"""Calls of torch's own attention kernel of which all is known: no more of them than their tensors need be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tracetui.tracer.attention.interface import published

ANY_MODULE = nn.Identity()
"""Stands for the module of a call that says all itself."""
_NOT_PLAIN = ("softcap", "s_aux", "sinks", "position_bias", "indices")
"""Arguments that change a score, or the mask."""


class PlainCall(NamedTuple):
    """All that a trace tells of a plain call beside its tensors."""

    scaling: float | None
    sliding_window: int | None
    is_causal: bool


class PlainCalls:
    """Of one watch; used by the model's thread alone."""

    def __init__(self) -> None:
        self._kinds: dict[type[nn.Module], bool] = {}
        """Of attention modules by class, whether what they call sdpa is transformers' own."""

    def parameters(self, module: nn.Module, arguments: Mapping[str, Any]) -> PlainCall | None:
        """What a trace tells of a call; None of one that isn't plain."""
        kind = module.__class__
        if (plain := self._kinds.get(kind)) is None:
            plain = self._kinds[kind] = published(module, "sdpa") is sdpa_attention_forward
        if not plain or arguments.get("dropout"):
            return None
        for name in _NOT_PLAIN:
            if arguments.get(name) is not None:
                return None
        scaling, window, causal = (arguments.get(name) for name in PlainCall._fields)
        if type(scaling) is not float and scaling is not None:
            # A number of another kind, a tensor perhaps, is made one where the call is described.
            return None
        return PlainCall(scaling, window, getattr(module, "is_causal", True) if causal is None else causal)
