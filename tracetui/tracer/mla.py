"""What latent attention could be computed from instead: its latent, its rotary key, and the absorbed query.

DeepSeek's two ways of computing one score: `q·k` over the keys that kv_b_proj makes for every head, or that
projection's key half folded into the query, which then meets the latent itself. The model runs the first; the
second is recorded beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from tracetui.models.latent import PROJECTION, expansion_of
from tracetui.tracer.attention import KernelCall


class Latents:
    """Keeps the latent that goes into each `kv_b_proj` until the attention kernel around it is called."""

    def __init__(self) -> None:
        self._given: dict[nn.Module, torch.Tensor] = {}

    @contextmanager
    def watched(self, model: nn.Module) -> Iterator[None]:
        """Look at every latent that the model's attention modules expand, for the length of a `with`."""
        handles = []
        try:
            for module in model.modules():
                if expansion_of(module) is not None:
                    projection = module.get_submodule(PROJECTION)
                    handles.append(projection.register_forward_pre_hook(partial(self._keep, module)))
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._given.clear()

    def _keep(self, attention: nn.Module, _: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], torch.Tensor):
            self._given[attention] = args[0]

    def roles(self, call: KernelCall) -> Iterator[tuple[str, torch.Tensor]]:
        """`kv_latent` [B,S,R], `k_rope` [B,S,rope] as the kernel got it, `q_absorbed` [B,H,T,R]; none without a latent.

        The absorbed query is computed in the model's dtype: so does an engine that caches the latent, and what
        rounding makes of it is part of what the two ways are compared for.
        """
        latent, shape = self._given.pop(call.module, None), expansion_of(call.module)
        if latent is None or shape is None or latent.shape[-1] != shape.rank:
            return
        batch, heads, _, width = call.query.shape
        keys = call.key.shape[2]
        if latent.numel() != batch * keys * shape.rank or heads != shape.heads or width < shape.nope:
            return
        yield "kv_latent", latent.reshape(batch, keys, shape.rank)  # [B,S,R]
        yield "k_rope", call.key[:, 0, :, shape.nope :]  # [B,S,rope]
        projection = call.module.get_submodule(PROJECTION)
        weight, bias = projection.get_parameter("weight"), projection._parameters.get("bias")
        if weight.device == call.query.device and weight.dtype == call.query.dtype and bias is None:
            halves = weight.view(heads, shape.nope + shape.value, shape.rank)  # [H,nope+Kv,R]
            query = call.query[..., : shape.nope]  # [B,H,T,nope]
            yield "q_absorbed", torch.einsum("bhtn,hnr->bhtr", query, halves[:, : shape.nope])  # [B,H,T,R]
