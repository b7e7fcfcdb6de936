"""What latent attention could be computed from instead: its latent, its rotary key, and the absorbed query.

DeepSeek's two ways of computing one score: `q·k` over the keys that kv_b_proj makes for every head, or that
projection's key half folded into the query, which then meets the latent itself. The model runs the first unless it is
told to absorb; what the second takes is recorded beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from tracetui.models.latent import PROJECTION, expansion_of
from tracetui.models.ranks.local import local_tensor
from tracetui.recording.record import layer_path
from tracetui.tracer.attention.kernel_call import KernelCall


@dataclass(frozen=True, eq=False, slots=True)
class LatentCall:
    """One attention call as its latent sees it."""

    latent: torch.Tensor
    """[B,S,R], normed."""
    rope: torch.Tensor
    """[B,S,rope], as the kernel got it, the same for all heads."""
    query: torch.Tensor | None
    """The absorbed query [B,H,T,R]; None where the projection can't be folded into it."""
    value_half: torch.Tensor
    """The rows [H,Kv,R] of the projection that make values."""


class Latents:
    """Keeps the latent that goes into each `kv_b_proj` until the attention kernel around it is called."""

    def __init__(self) -> None:
        self._given: dict[nn.Module, torch.Tensor] = {}
        self._last: tuple[nn.Module, LatentCall] | None = None
        self._cached: dict[nn.Module, torch.Tensor] = {}
        """The latents [B,S,R] of all passes so far: what an engine that absorbs would have in its cache."""

    @contextmanager
    def watched(self, modules: Iterable[nn.Module]) -> Iterator[None]:
        """Look at every latent that a model's attention modules expand, for the length of a `with`."""
        handles = []
        try:
            for module in modules:
                if expansion_of(module) is not None:
                    projection = module.get_submodule(PROJECTION)
                    handles.append(projection.register_forward_pre_hook(partial(self._keep, module)))
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._given.clear()
            self._last = None

    def cropped(self, model: nn.Module, positions: int, layers: Collection[str], further: int) -> Latents:
        """Those of so many positions alone; `further` is how many of the layers named."""
        earlier = Latents()
        for path, module in model.named_modules():
            count = further if layer_path(path) in layers else positions
            if count and module in self._cached:
                earlier._cached[module] = self._cached[module][:, :count]
        return earlier

    def has(self, attention: nn.Module) -> bool:
        """Whether a latent was given to an attention module whose kernel has not been called since."""
        return attention in self._given

    def _keep(self, attention: nn.Module, _: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], torch.Tensor):
            self._given[attention] = args[0]

    def roles(self, call: KernelCall) -> Iterator[tuple[str, torch.Tensor]]:
        """`kv_latent` [B,S,R], `k_rope` [B,S,rope], `q_absorbed` [B,H,T,R]; none without a latent."""
        self._last = None
        found = self._found(call)
        if found is None:
            return
        self._last = (call.module, found)
        yield "kv_latent", found.latent
        yield "k_rope", found.rope
        if found.query is not None:
            yield "q_absorbed", found.query

    def last(self, module: nn.Module) -> LatentCall | None:
        """The call that `roles` described last, if it was this module's; returned only once."""
        last, self._last = self._last, None
        return last[1] if last is not None and last[0] is module else None

    def forget_last(self) -> None:
        """Let go of what `roles` described last: it holds the projection's weight."""
        self._last = None

    def forget(self) -> None:
        """There is no next pass: keep no module alive."""
        self._given.clear()
        self._cached.clear()
        self._last = None

    def _with_earlier(self, call: KernelCall, latent: torch.Tensor) -> torch.Tensor:
        """The latents [B,S,R] of all keys: this pass's after those of the passes before it."""
        earlier = self._cached.get(call.module)
        if earlier is not None and earlier.shape[1] + latent.shape[1] == call.key.shape[2]:
            latent = torch.cat((earlier, latent), dim=1)  # [B,S,R]
        self._cached[call.module] = latent
        return latent

    def _found(self, call: KernelCall) -> LatentCall | None:
        """The absorbed query is computed in the model's dtype.

        So does an engine that caches the latent, and what rounding makes of it is part of what the two ways are
        compared for.
        """
        latent, shape = self._given.pop(call.module, None), expansion_of(call.module)
        if latent is None or shape is None or latent.shape[-1] != shape.rank:
            return None
        batch, heads, _, width = call.query.shape
        keys = call.key.shape[2]
        latent = self._with_earlier(call, latent.reshape(batch, -1, shape.rank))  # [B,S,R]
        if latent.shape[1] != keys or heads != shape.heads or width < shape.nope:
            return None
        projection = call.module.get_submodule(PROJECTION)
        weight, bias = local_tensor(projection.get_parameter("weight")), projection._parameters.get("bias")
        halves = weight.view(heads, shape.nope + shape.value, shape.rank)  # [H,nope+Kv,R]
        absorbed = None
        if weight.device == call.query.device and weight.dtype == call.query.dtype and bias is None:
            query = call.query[..., : shape.nope]  # [B,H,T,nope]
            absorbed = torch.einsum("bhtn,hnr->bhtr", query, halves[:, : shape.nope])  # [B,H,T,R]
        return LatentCall(
            latent=latent,  # [B,S,R]
            rope=call.key[:, 0, :, shape.nope :],  # [B,S,rope]
            query=absorbed,
            value_half=halves[:, shape.nope :],  # [H,Kv,R]
        )
