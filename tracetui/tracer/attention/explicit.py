"""Attention computed step by step, so that its scores and probabilities can be looked at and changed on the way.

The modelling file's own eager function runs, whatever its softcap, sinks or position bias: its products, the sum with
the mask and its softmax are overheard, so that the arithmetic is the model's own to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

Show = Callable[[str, torch.Tensor], torch.Tensor]
"""Told a role and its matrices [B,H,T,S]; returns what the computation goes on with."""

_SUMS = frozenset({"add", "__add__", "__radd__", "add_", "__iadd__"})
_PRODUCTS = frozenset({"matmul", "__matmul__", "bmm"})


class StepByStep(TorchFunctionMode):
    """While it is on, the steps of one call of an eager attention function are shown."""

    def __init__(self, mask: torch.Tensor, show: Show, sinks: bool = False) -> None:
        """mask [B,1 or H,T,S]: the very tensor that the function adds to its scores.

        sinks: whether the call has any.
        """
        super().__init__()
        self._mask = mask
        self._show = show
        self._sinks_beside = sinks
        """Whether there are sinks that are no column of the softmax's input."""
        self._share: torch.Tensor | None = None
        """The share [B,H,T] that such sinks leave to the keys."""
        self._softened = False
        self.complete = False
        """Whether all steps came by."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _SUMS and any(given is self._mask for given in args):
            scores = next(given for given in args if given is not self._mask)
            return self._show("masked", self._show("scores", scores) + self._mask)  # [B,H,T,S]
        if name == "softmax":
            self._softened = True
            self._sinks_beside = self._sinks_beside and args[0].shape[-1] == self._mask.shape[-1]
        elif name in _PRODUCTS and self._softened and not self.complete:
            self.complete = self._share is not None or not self._sinks_beside
            args = (self._probabilities(args[0]), *args[1:])
        result = func(*args, **(kwargs or {}))
        if name == "sigmoid" and not self._softened and self._sinks_beside:
            self._share = result
        return result

    def _probabilities(self, weights: torch.Tensor) -> torch.Tensor:
        """Show what each value counts for in the output, although some functions scale that only after the product."""
        if self._share is None or not self._sinks_beside:
            return self._show("probs", weights)
        share = self._share.unsqueeze(-1).to(weights.dtype)  # [B,H,T,1]
        counted = weights * share  # [B,H,T,S]
        shown = self._show("probs", counted)
        return weights if shown is counted else torch.where(share > 0, shown / share, 0)


def no_mask(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """What hides nothing [1,1,T,S], for a call without a mask: the sum with it is where scores are seen."""
    return query.new_zeros(1, 1, query.shape[2], key.shape[2])
