"""One call of an attention kernel: what it is given, and how a trace describes it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from tracetui.recording.record import ABSORBED, AttentionCall
from tracetui.tracer.attention.own_matrices import OwnMatrices

_SINKS = ("s_aux", "sinks")
_KNOWN = frozenset(
    [
        "module",
        "query",
        "key",
        "value",
        "attention_mask",
        "scaling",
        "dropout",
        "softcap",
        "sliding_window",
        "is_causal",
        "position_bias",
        "cache",
    ]
).union(_SINKS)
"""The arguments whose part in a score, or in none, is known."""
_MASKED_ONLY = ("eager", ABSORBED)
"""Kernels that hide nothing but what a mask hides."""


@dataclass(frozen=True, eq=False, slots=True)
class KernelCall:
    """What an attention kernel is given: q [B,H,T,K], k [B,G,S,K], v [B,G,S,Kv], mask [B,1 or H,T,S] or None."""

    module: nn.Module
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    arguments: dict[str, Any]
    own: OwnMatrices | None = None
    """What the module made of q and k already, where it computes attention itself."""

    @property
    def sinks(self) -> torch.Tensor | None:
        """Logits that take part in the softmax and have no value: one per head [H], or per token too [B,H,T,1]."""
        for name in _SINKS:
            if isinstance(sinks := self.arguments.get(name), torch.Tensor):
                return sinks
        return None

    @property
    def position_bias(self) -> torch.Tensor | None:
        """What is added to the scaled scores [B,H,T,S], any of them perhaps 1."""
        bias = self.arguments.get("position_bias")
        return bias if isinstance(bias, torch.Tensor) else None

    @property
    def causal(self) -> bool:
        """Whether queries may not look ahead where no mask says so."""
        said = self.arguments.get("is_causal")
        return bool(getattr(self.module, "is_causal", True) if said is None else said)

    def described(self, kernel: str, forward: Any = None) -> AttentionCall:
        """The call's parameters as a trace keeps them; `forward` is what runs."""
        scale = self.arguments.get("scaling")
        return AttentionCall(
            scale=float(self.query.shape[-1] ** -0.5 if scale is None else scale),
            is_causal=kernel not in _MASKED_ONLY and self.causal and self.mask is None and self.query.shape[2] > 1,
            kernel=kernel,
            softcap=self.arguments.get("softcap"),
            sliding_window=self.arguments.get("sliding_window"),
            heads=self.query.shape[1],
            kv_heads=self.key.shape[1],
            sinks=self.sinks is not None,
            position_bias=self.position_bias is not None,
            unexplained=self._unexplained(forward),
        )

    def _unexplained(self, forward: Any) -> str:
        """What it is given that nobody here knows how to compute with."""
        unknown = [name for name in _unknown_arguments(forward) if self.arguments.get(name) is not None]
        if unknown:
            return f"it is given {', '.join(unknown)}, which tracetui doesn't know"
        dropout = self.arguments.get("dropout")
        return f"dropout of {dropout:.3g} is on" if isinstance(dropout, float) and dropout > 0 else ""

    def leaves_out(self, forward: Any) -> tuple[str, ...]:
        """What it is given that another function would not know."""
        given = (("position_bias", self.position_bias), ("softcap", self.arguments.get("softcap")))
        names = named_arguments(forward)
        return tuple(name for name, value in given if value is not None and name not in names)


@cache
def named_arguments(forward: Any) -> tuple[str, ...]:
    """The arguments that a kernel names: what else it is given can't change its result."""
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL))


@cache
def _unknown_arguments(forward: Any) -> tuple[str, ...]:
    return tuple(name for name in named_arguments(forward) if name not in _KNOWN)
