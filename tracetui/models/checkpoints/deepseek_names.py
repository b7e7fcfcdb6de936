"""What DeepSeek's reference inference code calls the tensors of its V3, and what the published files call them.

Source of the names: the parameters of that code's Transformer, Block, MLA, MLP, MoE and Gate. It turns adjacent
pairs of the rotary part, as transformers does with rope_interleave: no rows move between the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tracetui.models.checkpoints.meta_names import split_layer

_EXPERT = re.compile(r"(?<=\.experts\.)(?:0|[1-9]\d{0,5})(?=\.)")
_ANY_EXPERT = "*"
_OUTSIDE = {
    "model.embed_tokens.weight": "embed.weight",
    "model.norm.weight": "norm.weight",
    "lm_head.weight": "head.weight",
}
_OF_LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate.weight": "ffn.gate.weight",
    "mlp.gate.e_score_correction_bias": "ffn.gate.bias",
}
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
_WEIGHT = {"weight": "weight", "weight_scale_inv": "scale"}
"""A matrix, and its scales where it is float8."""
_WITHIN = ("", f"experts.{_ANY_EXPERT}.", "shared_experts.")


def _inside() -> Iterable[tuple[str, str]]:
    """Every tensor of a layer under both names, any expert's number as a star."""
    yield from _OF_LAYER.items()
    for module, name in _ATTENTION.items():
        for tensor, called in {**_WEIGHT, "bias": "bias"}.items():
            yield f"self_attn.{module}.{tensor}", f"attn.{name}.{called}"
    for within in _WITHIN:
        for module, name in _FEED_FORWARD.items():
            for tensor, called in _WEIGHT.items():
                yield f"mlp.{within}{module}.{tensor}", f"ffn.{within}{name}.{called}"


_INSIDE = dict(_inside())
_OUTSIDE_BACK = {name: published for published, name in _OUTSIDE.items()}
_INSIDE_BACK = {name: published for published, name in _INSIDE.items()}


def reference_name(canonical: str) -> str | None:
    """The reference code's name of a tensor that the published files call `canonical`; None if it has no such one."""
    return _translated(canonical, _OUTSIDE, _INSIDE, "layers")


def published_name(reference: str) -> str | None:
    """The published files' name of a tensor that the reference code calls `reference`; None if it is none of its."""
    return _translated(reference, _OUTSIDE_BACK, _INSIDE_BACK, "model.layers")


def has_reference_names(names: Iterable[str]) -> bool:
    """Whether some of a file's names are the reference code's; `norm.weight` is others' too."""
    return any(name != _OUTSIDE["model.norm.weight"] and published_name(name) for name in names)


def _translated(name: str, outside: Mapping[str, str], inside: Mapping[str, str], layers: str) -> str | None:
    layer, inner = split_layer(name)
    if layer is None:
        return outside.get(name)
    expert = _EXPERT.search(inner)
    other = inside.get(inner if expert is None else _EXPERT.sub(_ANY_EXPERT, inner, count=1))
    if other is None or (expert is None and _ANY_EXPERT in other):
        return None
    return f"{layers}.{layer}.{other.replace(_ANY_EXPERT, expert[0]) if expert else other}"
