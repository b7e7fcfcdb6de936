"""The inputs of a tensor by transformers' names, where no run recorded what its modules were given."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from tracetui.recording.record import INPUT, plain_site

_BEFORE_MLP = (".pre_feedforward_layernorm", ".post_attention_layernorm")
_INPUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    ".input_layernorm": ((":input",),),
    ".self_attn.q_proj": ((".input_layernorm", ":input"),),
    ".self_attn.k_proj": ((".input_layernorm", ":input"),),
    ".self_attn.v_proj": ((".input_layernorm", ":input"),),
    ".self_attn.qkv_proj": ((".input_layernorm", ":input"),),
    ".self_attn.q_a_proj": ((".input_layernorm", ":input"),),
    ".self_attn.q_a_layernorm": ((".self_attn.q_a_proj",),),
    ".self_attn.q_b_proj": ((".self_attn.q_a_layernorm", ".self_attn.q_a_proj"),),
    ".self_attn.kv_a_proj_with_mqa": ((".input_layernorm", ":input"),),
    ".self_attn.kv_a_layernorm": ((".self_attn.kv_a_proj_with_mqa",),),
    ".self_attn.kv_b_proj": ((".self_attn.kv_a_layernorm", ".self_attn.kv_a_proj_with_mqa"),),
    ".self_attn.q_norm": ((".self_attn.q_proj",),),
    ".self_attn.k_norm": ((".self_attn.k_proj",),),
    ".self_attn:q": (
        (".self_attn.q_norm", ".self_attn.q_proj", ".self_attn.q_b_proj", ".self_attn.qkv_proj"),
        ("model.rotary_emb",),
        ("model.rotary_emb#1",),
    ),
    ".self_attn:k": (
        (".self_attn.k_norm", ".self_attn.k_proj", ".self_attn.kv_b_proj", ".self_attn.qkv_proj"),
        (".self_attn.kv_a_proj_with_mqa",),
        ("model.rotary_emb",),
        ("model.rotary_emb#1",),
    ),
    ".self_attn:v": ((".self_attn.v_proj", ".self_attn.kv_b_proj", ".self_attn.qkv_proj"),),
    ".self_attn:scores": ((".self_attn:q",), (".self_attn:k",)),
    ".self_attn:masked": ((".self_attn:scores",), (".self_attn:mask",)),
    ".self_attn:probs": ((".self_attn:masked", ".self_attn:scores", ".self_attn:q"), (".self_attn:mask",)),
    ".self_attn:heads": (
        (".self_attn:probs", ".self_attn:q"),
        (".self_attn:k",),
        (".self_attn:v", ".self_attn.v_proj"),
        (".self_attn:mask",),
        (".self_attn:sinks",),
        (".self_attn:position_bias",),
    ),
    ".self_attn.o_proj": ((".self_attn:heads", ".self_attn:v", ".self_attn.v_proj"),),
    ".self_attn": ((".self_attn.o_proj", ".self_attn:heads", ".self_attn.v_proj", ".input_layernorm"),),
    ":attn_residual": ((":input",), (".self_attn", ".self_attn.o_proj")),
    ".post_attention_layernorm": ((":attn_residual", ".self_attn"),),
    ".mlp.gate": ((".post_attention_layernorm",),),
    ".mlp:selection_bias": (),
    ".mlp:router_logits": ((".mlp.gate", ".post_attention_layernorm"),),
    ".mlp:router_scores": ((".mlp:router_logits", ".mlp.gate"),),
    ".mlp:selection_scores": ((".mlp:router_scores",), (".mlp:selection_bias",)),
    ".mlp:experts": ((".mlp:selection_scores", ".mlp:router_scores", ".mlp.gate"),),
    ".mlp:routing_weights": ((".mlp:router_scores", ".mlp.gate"), (".mlp:experts", ".mlp.gate#2")),
    ".mlp.gate#1": ((".mlp.gate",), (".mlp.gate#2",)),
    ".mlp.gate#2": ((".mlp.gate",),),
    ".mlp.experts": (
        (".post_attention_layernorm",),
        (".mlp:experts", ".mlp.gate#2"),
        (".mlp:routing_weights", ".mlp.gate#1"),
    ),
    ".mlp.gate_proj": (_BEFORE_MLP,),
    ".mlp.up_proj": (_BEFORE_MLP,),
    ".mlp.act_fn": ((".mlp.gate_proj",),),
    ".mlp.down_proj": ((".mlp.act_fn", ".mlp.gate_proj"), (".mlp.up_proj",)),
    ".mlp.{s}.gate_proj": ((".post_attention_layernorm",),),
    ".mlp.{s}.act_fn": ((".mlp.{s}.gate_proj",),),
    ".mlp.{s}.up_proj": ((".post_attention_layernorm",),),
    ".mlp.{s}.down_proj": ((".mlp.{s}.act_fn", ".mlp.{s}.gate_proj"), (".mlp.{s}.up_proj",)),
    ".mlp.{s}": ((".mlp.{s}.down_proj", ".post_attention_layernorm"),),
    ".mlp.shared_expert_gate": ((".post_attention_layernorm",),),
    ".mlp": (
        (".mlp.down_proj", ".mlp.experts", ".post_attention_layernorm"),
        (".mlp.shared_experts", ".mlp.shared_expert", ".mlp.shared_mlp"),
        (".mlp.shared_expert_gate",),
    ),
    ".pre_feedforward_layernorm": ((":attn_residual", ".post_attention_layernorm"),),
    ".post_feedforward_layernorm": ((".mlp", ".mlp.down_proj"),),
    "": ((":attn_residual", ":input"), (".post_feedforward_layernorm", ".mlp", ".mlp.down_proj")),
    ".mlp.experts.{e}:tokens": ((".mlp:experts", ".mlp.gate#2"),),
    ".mlp.experts.{e}:in": ((".post_attention_layernorm",), (".mlp.experts.{e}:tokens",)),
    ".mlp.experts.{e}": ((".mlp.experts.{e}:in", ".post_attention_layernorm"),),
    ".self_attn:kv_latent": ((".self_attn.kv_a_layernorm",),),
    ".self_attn:k_rope": ((".self_attn.kv_a_proj_with_mqa",), ("model.rotary_emb",), ("model.rotary_emb#1",)),
    ".self_attn:q_absorbed": ((".self_attn:q",),),
    ".self_attn#1": ((".self_attn:q",), (".self_attn:k",), (".self_attn:mask",)),
}
"""By place in the layer: the inputs, each as the records that may stand for it, the nearest first."""
_OUTSIDE = {
    "model.embed_tokens": (),
    "model": (("model.norm",),),
    "lm_head": (("model.norm",), ("model",)),
    "logits": (("lm_head", "model.norm"),),
}
_TURNS = "rotary"
"""How the leaf of a module begins that makes angles of positions: of what else it is given it takes the dtype alone."""
_ENTERED = (".self_attn.o_proj", ".mlp.down_proj")
"""Places of which it is recorded what enters them, since their parents make it."""
_EXPERT = re.compile(r"\.experts\.(\d+)")
_SHARED = re.compile(r"(?<=\.)shared_(?:experts?|mlp)(?=\.|$)")
"""The expert that sees all tokens."""
InputNames = tuple[tuple[str, ...], ...]
"""Inputs, each as the names that may stand for it."""


def input_names(site: str, layer_index: int | None, known_sites: Collection[str]) -> InputNames | None:
    """The inputs of a site by name, each as the records that may stand for it; None if nothing is known of the site.

    Empty for what is made of weights, token ids or positions alone.
    """
    plain, call = plain_site(site), site.partition("@")[2]
    end = f"@{call}" if call else ""
    if plain.rpartition(".")[2].startswith(_TURNS):
        return ()
    if plain in _OUTSIDE:
        return tuple(tuple(name + end for name in names) for names in _OUTSIDE[plain])
    if plain == "model.norm":
        return ((_last_layer(known_sites) + end,),)
    if layer_index is None:
        return None
    place = site.removeprefix(f"model.layers.{layer_index}").removesuffix(end)
    if place.endswith(f":{INPUT}") and place != f":{INPUT}":
        place = place.removesuffix(f":{INPUT}")
    elif place in _ENTERED and (entered := f"{plain}:{INPUT}{end}") in known_sites:
        return ((entered,),)
    if place == ":input":
        before = f"model.layers.{layer_index - 1}" if layer_index else "model.embed_tokens"
        return ((before + end,),)
    expert, shared = _EXPERT.search(place), _SHARED.search(place)
    known = _SHARED.sub("{s}", _EXPERT.sub(".experts.{e}", place))
    if known not in _INPUTS:
        return None
    layer = f"model.layers.{layer_index}"
    number, others = expert[1] if expert else "", shared[0] if shared else ""

    def named(name: str) -> str:
        whole = name if name.startswith("model") else layer + name
        return whole.replace("{e}", number).replace("{s}", others) + end

    return tuple(tuple(map(named, names)) for names in _INPUTS[known])


def _last_layer(known_sites: Iterable[str]) -> str:
    from tracetui.analysis.mapping.names import execution_rank

    ranks = (execution_rank(name) for name in known_sites)
    return f"model.layers.{max((layer for kind, layer, _ in ranks if kind == 1), default=0)}"
