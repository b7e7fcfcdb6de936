"""How much memory the attention of one layer takes while it is computed, from shapes alone."""

from __future__ import annotations

from torch import nn

from tracetui.models.config_help.layer_fields import config_field
from tracetui.models.latent import expansion_of
from tracetui.models.memory.attention_widths import attention_widths

_WIDE = 4
"""Bytes of a float32, in which scores are computed whatever the dtype."""


def attention_bytes(model: nn.Module, itemsize: int, tokens: int, absorb: bool, steps: bool) -> int:
    """Bytes for one prompt of so many tokens in the layer that takes most; 0 where a kernel needs no scores at once.

    absorb: latent attention is computed from its latent. steps: some layer's attention is computed step by step.
    """
    scores = _absorbed_scores(model, tokens) if absorb else _scores(model, tokens, steps)
    # Step by step the scores stay beside what the mask and softmax make of them.
    each = _WIDE + (3 if steps else 1) * itemsize
    unequal = 0 if absorb or steps else _unequal_bytes(model, itemsize, tokens)
    return tokens * max(scores * each, unequal)


def returned_scores(model: nn.Module, tokens: int) -> int:
    """Probabilities of one token in all heads of all layers, where the kernel returns them: modules return them too."""
    each = _scores(model, tokens, steps=False)
    return each and each * sum(bool(attention_widths(module).mixed) for module in model.modules())


def _absorbed_scores(model: nn.Module, tokens: int) -> int:
    """Scores of one token in all heads, and for each head the mixed latent that they give."""
    latents = (expansion_of(module) for module in model.modules())
    return max((latent.heads * (tokens + latent.rank) for latent in latents if latent), default=0)


def _scores(model: nn.Module, tokens: int, steps: bool) -> int:
    """Scores of one token in all heads, where the kernel keeps those of a whole layer at once."""
    config = getattr(model, "config", None)
    kernel = getattr(config, "_attn_implementation", None)
    whole = steps or kernel == "eager" or config_field(config, "attn_logit_softcapping")
    heads = config_field(config, "num_attention_heads") if whole else 0
    return heads * tokens if isinstance(heads, int) else 0


def _unequal_bytes(model: nn.Module, itemsize: int, tokens: int) -> int:
    """Bytes a token where keys are wider than values, as in latent attention.

    torch's sdpa has no kernel for such heads on a CPU that goes without scores: it computes all of a layer and their
    softmax in float32, from scaled copies of queries and keys, and from wide ones of all three where the dtype is
    narrower (measured with torch 2.13).
    """
    most = 0
    for module in model.modules():
        latent = expansion_of(module)
        rotary = getattr(module, "qk_rope_head_dim", 0)
        if latent is None or latent.nope + rotary == latent.value:
            continue
        key = latent.nope + rotary
        copies = 2 * key + latent.value  # scaled queries and keys, and the heads' output
        if itemsize < _WIDE:
            copies *= 2
        most = max(most, latent.heads * _WIDE * (2 * tokens + copies))
    return most
