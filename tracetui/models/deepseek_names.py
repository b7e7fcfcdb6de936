"""What DeepSeek's reference inference code calls the tensors of its V3, and what the published files call them.

Source of the names: the parameters of that code's Transformer, Block, MLA, MLP, MoE and Gate. It turns adjacent
pairs of the rotary part, as transformers does with rope_interleave: no rows move between the two.
"""

from __future__ import annotations

import re

from tracetui.models.meta_names import split_layer

_EXPERT = re.compile(r"(experts\.(?:0|[1-9]\d{0,5})\.)(.+)")
_OUTSIDE = {
    "model.embed_tokens.weight": "embed.weight",
    "model.norm.weight": "norm.weight",
    "lm_head.weight": "head.weight",
}
_NORMS = {"input_layernorm.weight": "attn_norm.weight", "post_attention_layernorm.weight": "ffn_norm.weight"}
_ATTENTION = {
    "q_proj": "wq",
    "q_a_proj": "wq_a",
    "q_a_layernorm": "q_norm",
    "q_b_proj": "wq_b",
    "kv_a_proj_with_mqa": "wkv_a",
    "kv_a_layernorm": "kv_norm",
    "kv_b_proj": "wkv_b",
    "o_proj": "wo",
}
_FEED_FORWARD = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
_GATE = {"gate.weight": "gate.weight", "gate.e_score_correction_bias": "gate.bias"}


def reference_name(canonical: str) -> str | None:
    """The reference code's name of a tensor that the published files call `canonical`; None if it has no such one."""
    layer, inner = split_layer(canonical)
    if layer is None:
        return _OUTSIDE.get(canonical)
    found = _NORMS.get(inner) or _inside(inner)
    return found and f"layers.{layer}.{found}"


def _inside(inner: str) -> str | None:
    part, _, rest = inner.partition(".")
    if part == "self_attn":
        module, _, tensor = rest.partition(".")
        return f"attn.{_ATTENTION[module]}.{tensor}" if module in _ATTENTION and tensor in ("weight", "bias") else None
    found = _feed_forward(rest) if part == "mlp" else None
    return found and f"ffn.{found}"


def _feed_forward(inner: str) -> str | None:
    if inner in _GATE:
        return _GATE[inner]
    within, rest = "", inner
    if expert := _EXPERT.fullmatch(inner):
        within, rest = expert[1], expert[2]
    elif inner.startswith("shared_experts."):
        within, rest = "shared_experts.", inner.removeprefix("shared_experts.")
    module, _, tensor = rest.partition(".")
    return f"{within}{_FEED_FORWARD[module]}.{tensor}" if module in _FEED_FORWARD and tensor == "weight" else None
