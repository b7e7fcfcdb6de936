"""Names that llama.cpp gives the tensors of its graph, which its callback sees and its eval-callback example prints.

`Qcur-0` is of layer 0, `Qcur-0 (view)` another look at it; a name may come several times. Source: llama-graph.cpp and
the models of https://github.com/ggml-org/llama.cpp of October 2026
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

_NAME = re.compile(
    r"^(?:\d+[-_.:/ ]+)?(?P<base>[A-Za-z][A-Za-z_]*)(?:-(?P<layer>\d{1,6}))?"
    r"(?P<looks>(?: \([^()]*\))*)(?:[_.:/#]\d{1,4})?$"
)
"""Scripts put a count before a name, or number its repeats."""
_COUNT = re.compile(r"^\d+[-_.:/ ]+")
_LOOKS = re.compile(
    r"^(?:\d+[-_.:/ ]+)?(?:(?:leaf|node)_\d+|cache_[kvrs]_l\d+|\(|$)"
    r"| \((?:view|reshaped|permuted|transposed|cont|copy|copy of .*)\)"
)
INSIDE = {
    "attn_norm": ".input_layernorm",
    "Qcur": ".self_attn.q_proj",
    "Kcur": ".self_attn.k_proj",
    "Vcur": ".self_attn.v_proj",
    "Qcur_normed": ".self_attn.q_norm",
    "Kcur_normed": ".self_attn.k_norm",
    "kq": ".self_attn:scores",
    "kq_soft_max": ".self_attn:probs",
    "kq_soft_max_ext": ".self_attn:probs",
    "kqv": ".self_attn:heads",
    "kqv_mla": ".self_attn:heads",
    "kqv_merged_cont": ".self_attn:heads",
    "kqv_out": ".self_attn",
    "attn_out": ".self_attn",
    "attn_post_norm": ".post_attention_layernorm",
    "post_attn_norm": ".post_self_attn_layernorm",
    "kv_cmpr_pe": ".self_attn.kv_a_proj_with_mqa",
    "kv_cmpr": ".self_attn.kv_a_layernorm",
    "ffn_inp": ":attn_residual",
    "sa_out": ":attn_residual",
    "ffn_norm": ".post_attention_layernorm",
    "ffn_gate": ".mlp.gate_proj",
    "ffn_silu": ".mlp.act_fn",
    "ffn_gelu": ".mlp.act_fn",
    "ffn_up": ".mlp.up_proj",
    "ffn_swiglu": ".mlp.down_proj:input",
    "ffn_geglu": ".mlp.down_proj:input",
    "ffn_gate_par": ".mlp.down_proj:input",
    "ffn_down": ".mlp.down_proj",
    "ffn_out": ".mlp",
    "ffn_post_norm": ".post_feedforward_layernorm",
    "ffn_moe_logits": ".mlp:router_logits",
    "ffn_moe_probs": ".mlp:router_scores",
    "ffn_moe_probs_biased": ".mlp:selection_scores",
    "ffn_moe_topk": ".mlp:experts",
    "ffn_moe_weights": ".mlp:routing_weights",
    "ffn_moe_weights_norm": ".mlp:routing_weights",
    "ffn_moe_weights_scaled": ".mlp:routing_weights",
    "ffn_moe_out": ".mlp.experts",
    "ffn_shexp": ".mlp.shared_experts",
    "l_out": "",
}
"""By name, the site below its layer."""
OUTSIDE = {
    "inp_embd": "model.embed_tokens",
    "embd": "model.embed_tokens",
    "inp_scaled": "model.layers.0:input",
    "result_norm": "model.norm",
    "result_output": "lm_head",
}
_HEADS = {"Qcur": ".self_attn:q", "Kcur": ".self_attn:k", "Vcur": ".self_attn:v"}
"""One name is given to a projection and to the heads that are made of it: split ones are the later."""


class GraphName(NamedTuple):
    """The parts of a name."""

    base: str
    layer: int | None
    looks: tuple[str, ...]
    """How it was laid out anew, each after the one before: `reshaped`, `view`, `permuted`."""


def graph_name(name: str) -> GraphName | None:
    """The parts of a name of the graph; None where it has none of its forms."""
    match = _NAME.match(name)
    if match is None:
        return None
    looks = tuple(look.strip(" ()") for look in match["looks"].split(") ") if look)
    return GraphName(match["base"], None if match["layer"] is None else int(match["layer"]), looks)


def uncounted(names: Collection[str]) -> frozenset[str]:
    """These names, and those of the graph that a script has put a count before without it too."""
    return frozenset(names) | {_COUNT.sub("", name) for name in names if graph_name(name) is not None}


def is_look(name: str) -> bool:
    """Whether a tensor of the graph holds what others hold: one laid out anew, without a name of its own, the cache."""
    return _LOOKS.search(name) is not None


def graph_site(name: str, rank: int, others: Collection[str]) -> str | None:
    """The site that a name of the graph means; None where none is known. Parameters are those of `meaning`."""
    parts = graph_name(name)
    if parts is None:
        return None
    if parts.layer is None:
        scaled = parts.base == "embd" and "inp_scaled" in others
        return None if scaled or parts.looks else OUTSIDE.get(parts.base)
    place = _place(parts, rank, others)
    return None if place is None else f"model.layers.{parts.layer}{place}"


def _place(parts: GraphName, rank: int, others: Collection[str]) -> str | None:
    base, number = parts.base, parts.layer
    if base in _HEADS and _is_split(parts, rank):
        return _HEADS[base]
    if parts.looks and base not in _HEADS:
        return None
    if base == "kqv_out" and f"attn_out-{number}" in others:
        # Newer graphs give this name to the heads; older ones to what o_proj makes of them.
        return ".self_attn:heads"
    if base == "kqv" and f"kqv_mla-{number}" in others:
        return None  # in the latent space
    if base == "ffn_norm" and f"attn_post_norm-{number}" in others:
        return ".pre_feedforward_layernorm"
    return INSIDE.get(base)


def _is_split(parts: GraphName, rank: int) -> bool:
    """Whether queries, keys or values are the heads: older graphs reshape q and k before they rotate them."""
    if parts.looks:
        return parts.looks != ("reshaped",) or parts.base == "Vcur"
    return rank > 2
