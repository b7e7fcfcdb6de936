"""What Meta calls the tensors of a Llama, and what transformers calls them."""

from __future__ import annotations

import re

ROPE_FREQUENCIES = "rope.freqs"
"""[K/2], in older files: what follows from the configuration anyway."""
_LAYER = re.compile(r"(?:model\.)?layers\.(0|[1-9]\d{0,5})\.(.+)")
_OUTSIDE = {
    "model.embed_tokens.weight": "tok_embeddings.weight",
    "model.norm.weight": "norm.weight",
    "lm_head.weight": "output.weight",
}
_INSIDE = {
    "input_layernorm.weight": "attention_norm.weight",
    "self_attn.q_proj.weight": "attention.wq.weight",
    "self_attn.k_proj.weight": "attention.wk.weight",
    "self_attn.v_proj.weight": "attention.wv.weight",
    "self_attn.o_proj.weight": "attention.wo.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "feed_forward.w1.weight",
    "mlp.up_proj.weight": "feed_forward.w3.weight",
    "mlp.down_proj.weight": "feed_forward.w2.weight",
}
_OUTSIDE_BACK = {meta: name for name, meta in _OUTSIDE.items()}
_INSIDE_BACK = {meta: name for name, meta in _INSIDE.items()}


def meta_name(canonical: str) -> str | None:
    """Meta's name of a tensor that transformers calls `canonical`; None if Meta's files have no such tensor."""
    layer, inner = split_layer(canonical)
    if layer is None:
        return _OUTSIDE.get(canonical)
    return f"layers.{layer}.{_INSIDE[inner]}" if inner in _INSIDE else None


def canonical_name(meta: str) -> str | None:
    """transformers' name of a tensor that Meta calls `meta`; None if it is none of a Llama's."""
    layer, inner = split_layer(meta)
    if layer is None:
        return _OUTSIDE_BACK.get(meta)
    return f"model.layers.{layer}.{_INSIDE_BACK[inner]}" if inner in _INSIDE_BACK else None


def split_layer(name: str) -> tuple[int | None, str]:
    """A name's layer and what it is called within; no layer and the whole name for a tensor outside of all."""
    match = _LAYER.fullmatch(name)
    return (int(match[1]), match[2]) if match else (None, name)
