"""Latent attention computed from the latent alone, as an engine does that caches no keys and values.

scores = (q_nope·W_k)·cᵀ + q_rope·k_ropeᵀ, times the scale; softmax in float32; output = (probs·c)·W_vᵀ, with W_k and
W_v the halves of kv_b_proj and c the normed latent. The model's own forward still expands keys and values for every
head, which are recorded; nothing of this attention's output comes from them but the rotary key.

Source of the formulas: the MLA of DeepSeek-V3's reference inference code, its `absorb`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from tracetui.errors import InputError, RunError
from tracetui.models.latent import PROJECTION, expansion_of
from tracetui.models.module_tree import KnownModel, known_model
from tracetui.recipe import Recipe
from tracetui.recording.record import ABSORBED
from tracetui.text import visible
from tracetui.tracer.attention.kernels import (
    Output,
    additive,
    called,
    eager,
    goes_through,
    kernels_observed,
    run_kernel,
)
from tracetui.tracer.observer import observer_here

_NAME = "tracetui_absorbed"


def check_mla(model: nn.Module, recipe: Recipe) -> None:
    """Refuse a recipe that asks for the absorbed way of a model that can't be computed so. Raises InputError."""
    if recipe.mla != "absorb":
        return
    attention = [module for module in model.modules() if expansion_of(module) is not None]
    kind = visible(str(recipe.config["model_type"]), 60)
    if not attention:
        problem = f"absorb needs latent attention (MLA), and no layer of this {kind} has it; leave --mla out"
    elif not goes_through(known_model(model)):
        problem = f"the attention of this {kind} can't be replaced from outside; leave --mla out"
    elif any(module.get_submodule(PROJECTION)._parameters.get("bias") is not None for module in attention):
        problem = f"the {PROJECTION} of this {kind} has a bias, which can't be absorbed; leave --mla out"
    else:
        return
    raise InputError(f"{recipe.mla_from or f'{recipe.origin}: mla'}: {problem}")


def absorbing_observed(known: KnownModel, absorb: bool) -> AbstractContextManager[None]:
    """A model's attention reports to who observes; absorb: and is computed from its latent."""
    return kernels_observed(known, _NAME if absorb else None)


def _absorbed(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> Output:
    if expansion_of(module) is None:
        # A layer of another kind, beside those with a latent.
        return eager(module, query, key, value, attention_mask, **kwargs)
    call = called(module, query, key, value, attention_mask, kwargs)
    if kwargs.get("softcap") is not None or call.sinks is not None:
        raise RunError(f"{type(module).__name__}: its scores have a softcap or sinks, which --mla absorb doesn't know")
    return run_kernel(ABSORBED, _from_latent, replace(call, mask=additive(call)))


def _from_latent(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> Output:
    """The output [B,T,H,Kv] for q [B,H,T,K], from what was recorded of the latent a moment ago."""
    observer, expansion = observer_here(), expansion_of(module)
    found = None if observer is None else observer.latent(module)
    if found is None or found.query is None or expansion is None:
        raise RunError(f"{type(module).__name__}: its latent has another form than --mla absorb knows; leave it out")
    latent, rope = found.latent.unsqueeze(1), found.rope.unsqueeze(1)  # [B,1,S,R] [B,1,S,rope]
    rotary = query[..., expansion.nope :]  # [B,H,T,rope]
    scores = found.query @ latent.transpose(2, 3) + rotary @ rope.transpose(2, 3)  # [B,H,T,S]
    scores = scores * (query.shape[-1] ** -0.5 if scaling is None else scaling)  # [B,H,T,S]
    if mask is not None:
        scores = scores + mask  # [B,H,T,S]
    probs = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)  # [B,H,T,S]
    mixed = probs @ latent  # [B,H,T,R]
    heads = torch.einsum("bhtr,hvr->bthv", mixed, found.value_half)  # [B,T,H,Kv]
    return heads.contiguous(), None


AttentionInterface.register(_NAME, _absorbed)
AttentionMaskInterface.register(_NAME, eager_mask)
