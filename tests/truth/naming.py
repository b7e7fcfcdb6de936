"""A decoder's dump as other implementations name it, and lay it out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from tests.truth.families import FAMILIES, SIZES
from tracetui.recording.value import Array

HEADS, GROUPS, SIZE, LAYERS = 4, 2, SIZES["head_dim"], SIZES["num_hidden_layers"]
Arrays = Mapping[str, Array]
Get = Callable[[str], Array]
"""By place in a layer, what was kept there."""
Source = str | Callable[[Get], Array]
Sites = Mapping[str, Source]
"""What stands under each of their names: a place of ours, or what is made of several."""


def renamed(dump: Arrays, layer: str, inside: Sites, outside: tuple[Mapping[str, str], Mapping[str, str]]) -> Arrays:
    """A dump under other names, in order of execution; `layer` holds `{}` for the number."""
    named = {name: dump[site] for name, site in outside[0].items()}
    for number in range(LAYERS):
        get = _in_layer(dump, number)
        for name, source in inside.items():
            named[layer.format(number) + name] = get(source) if isinstance(source, str) else source(get)
    return {**named, **{name: dump[site] for name, site in outside[1].items()}}


def _in_layer(dump: Arrays, number: int) -> Get:
    """By place; `:input` and `:attn_residual` are made of the stream, `!` stands for a norm's weight left out."""
    path = f"model.layers.{number}"

    def get(place: str) -> Array:
        if place == ":input":
            return dump[f"model.layers.{number - 1}"] if number else dump["model.embed_tokens"]
        if place == ":attn_residual":
            return get(":input") + get(".self_attn")
        if place.startswith("!"):
            return dump[path + place[1:]] / _norm(path + place[1:])
        return dump[path + place]

    return get


def _norm(name: str) -> Array:
    weight: Array = FAMILIES["llama"]().decoder.weights[f"{name}.weight"].numpy()
    return weight


def in_pairs(heads: Array) -> Array:
    """Each head's halves [...,H·K] put into adjacent pairs."""
    halves = heads.reshape(*heads.shape[:-1], -1, 2, SIZE // 2)
    return halves.swapaxes(-1, -2).reshape(heads.shape)


def side_by_side(heads: Array) -> Array:
    """[B,H,T,K] to [B,T,H·K]."""
    return heads.swapaxes(1, 2).reshape(heads.shape[0], heads.shape[2], -1)


def qkv(get: Get) -> Array:
    return np.concatenate([get(f".self_attn.{name}_proj") for name in "qkv"], -1)


def qkv_by_group(get: Get) -> Array:
    """Of each key-value head its queries, its keys, its values."""
    parts = [get(f".self_attn.{name}_proj") for name in "qkv"]
    split = [part.reshape(*part.shape[:-1], GROUPS, -1) for part in parts]
    return np.concatenate(split, -1).reshape(*parts[0].shape[:-1], -1)


def qkv_in_pairs(get: Get) -> Array:
    q, k = (in_pairs(get(f".self_attn.{name}_proj")) for name in "qk")
    return np.concatenate([q, k, get(".self_attn.v_proj")], -1)


def gate_up(get: Get) -> Array:
    return np.concatenate([get(".mlp.gate_proj"), get(".mlp.up_proj")], -1)


def gated(get: Get) -> Array:
    """What enters the last projection."""
    gate = get(".mlp.gate_proj")
    made: Array = gate / (1 + np.exp(-gate)) * get(".mlp.up_proj")
    return made


def _pairs_of(place: str) -> Source:
    return lambda get: in_pairs(get(place))


def _heads_of(place: str) -> Source:
    """[B,T,H·K] or [B,H,T,K] to [B,T,H,K]."""

    def made(get: Get) -> Array:
        array = get(place)
        return array.swapaxes(1, 2) if array.ndim == 4 else array.reshape(*array.shape[:2], -1, SIZE)

    return made


def _flat(place: str) -> Source:
    return lambda get: side_by_side(get(place))


_PLACES = (
    *(".input_layernorm", ".self_attn.q_proj", ".self_attn.k_proj", ".self_attn.v_proj", ".self_attn.o_proj"),
    *(".self_attn", ".post_attention_layernorm", ".mlp.gate_proj", ".mlp.up_proj", ".mlp.down_proj", ".mlp", ""),
)
_HF = {place: place for place in _PLACES}
_AROUND = ({"model.embed_tokens": "model.embed_tokens"}, {"model.norm": "model.norm", "lm_head": "lm_head"})
_META_AROUND = ({"tok_embeddings": "model.embed_tokens"}, {"norm": "model.norm", "output": "lm_head"})


def mlx(dump: Arrays) -> Arrays:
    return renamed(dump, "model.layers.{}", _HF, _AROUND)


def flax(dump: Arrays) -> Arrays:
    return {name.replace(".", "/"): array for name, array in mlx(dump).items()}


def flax_calls(dump: Arrays) -> Arrays:
    """As `capture_intermediates` keeps them: a tuple of calls."""
    return {f"intermediates/{name}/__call__/0": array for name, array in flax(dump).items()}


def nnsight(dump: Arrays) -> Arrays:
    named = {}
    for name, array in mlx(dump).items():
        end = ".output[0]" if re.search(r"layers\.\d$|self_attn$", name) else ".output"
        named["model." + re.sub(r"layers\.(\d)", r"layers[\1]", name) + end] = array
    return named


def nnsight_paths(dump: Arrays) -> Arrays:
    inputs: Sites = {".input": ":input", ".mlp.input": ".post_attention_layernorm"}
    return renamed(dump, "model.layers.{}", {**{f"{place}.output": place for place in _PLACES}, **inputs}, ({}, {}))


_MEGATRON: Sites = {
    ".input_layernorm": ".input_layernorm",
    ".self_attention.linear_qkv": qkv_by_group,
    ".self_attention.core_attention": _flat(".self_attn:heads"),
    ".self_attention.linear_proj": ".self_attn.o_proj",
    ".self_attention": ".self_attn",
    ".pre_mlp_layernorm": ".post_attention_layernorm",
    ".mlp.linear_fc1": gate_up,
    ".mlp.linear_fc2": ".mlp.down_proj",
    ".mlp": ".mlp",
    "": "",
}
_MEGATRON_AROUND = (
    {"embedding.word_embeddings": "model.embed_tokens"},
    {"decoder.final_layernorm": "model.norm", "output_layer": "lm_head"},
)


def megatron(dump: Arrays) -> Arrays:
    """Tokens stand before the batch."""
    named = renamed(dump, "decoder.layers.{}", _MEGATRON, _MEGATRON_AROUND)
    return {name: array.swapaxes(0, 1) for name, array in named.items()}


def megatron_fused(dump: Arrays) -> Arrays:
    """With norms inside the projections: their own modules pass on what they get."""
    sites: Sites = {**_MEGATRON, ".input_layernorm": ":input", ".pre_mlp_layernorm": ":attn_residual"}
    named = renamed(dump, "decoder.layers.{}", sites, _MEGATRON_AROUND)
    return {name: array.swapaxes(0, 1) for name, array in named.items()}


_TORCHTUNE: Sites = {
    ".sa_norm": ".input_layernorm",
    ".attn.q_proj": _pairs_of(".self_attn.q_proj"),
    ".attn.k_proj": _pairs_of(".self_attn.k_proj"),
    ".attn.v_proj": ".self_attn.v_proj",
    ".attn.output_proj": ".self_attn.o_proj",
    ".attn": ".self_attn",
    ".mlp_norm": ".post_attention_layernorm",
    ".mlp.w1": ".mlp.gate_proj",
    ".mlp.w3": ".mlp.up_proj",
    ".mlp.w2": ".mlp.down_proj",
    ".mlp": ".mlp",
    "": "",
}


def torchtune(dump: Arrays) -> Arrays:
    return renamed(dump, "layers.{}", _TORCHTUNE, _META_AROUND)


def torchtune_decoder(dump: Arrays) -> Arrays:
    """Inside a model of several parts, with halves turned."""
    halves: Sites = {f".attn.{name}_proj": f".self_attn.{name}_proj" for name in "qk"}
    named = renamed(dump, "layers.{}", {**_TORCHTUNE, **halves}, _META_AROUND)
    return {f"decoder.{name}": array for name, array in named.items()}


_LITGPT: Sites = {
    ".norm_1": ".input_layernorm",
    ".attn.qkv": qkv,
    ".attn.proj": ".self_attn.o_proj",
    ".attn": ".self_attn",
    ".norm_2": ".post_attention_layernorm",
    ".mlp.fc_1": ".mlp.gate_proj",
    ".mlp.fc_2": ".mlp.up_proj",
    ".mlp.proj": ".mlp.down_proj",
    ".mlp": ".mlp",
    "": "",
}
_LITGPT_AROUND = (
    {"transformer.wte": "model.embed_tokens"},
    {"transformer.ln_f": "model.norm", "lm_head": "lm_head"},
)


def litgpt(dump: Arrays) -> Arrays:
    return renamed(dump, "transformer.h.{}", _LITGPT, _LITGPT_AROUND)


def litgpt_by_group(dump: Arrays) -> Arrays:
    return renamed(dump, "transformer.h.{}", {**_LITGPT, ".attn.qkv": qkv_by_group}, _LITGPT_AROUND)


def gpt_fast(dump: Arrays) -> Arrays:
    sites: Sites = {
        ".attention_norm": ".input_layernorm",
        ".attention.wqkv": qkv_in_pairs,
        ".attention.wo": ".self_attn.o_proj",
        ".attention": ".self_attn",
        ".ffn_norm": ".post_attention_layernorm",
        ".feed_forward.w1": ".mlp.gate_proj",
        ".feed_forward.w3": ".mlp.up_proj",
        ".feed_forward.w2": ".mlp.down_proj",
        ".feed_forward": ".mlp",
        "": "",
    }
    return renamed(dump, "layers.{}", sites, _META_AROUND)


_VLLM: Sites = {
    ".input_layernorm": ".input_layernorm",
    ".self_attn.qkv_proj": qkv,
    ".self_attn.rotary_emb": _flat(".self_attn:q"),
    ".self_attn.rotary_emb#1": _flat(".self_attn:k"),
    ".self_attn.attn": _flat(".self_attn:heads"),
    ".self_attn.o_proj": ".self_attn.o_proj",
    ".self_attn": ".self_attn",
    ".post_attention_layernorm": ".post_attention_layernorm",
    ".post_attention_layernorm#1": ":attn_residual",
    ".mlp.gate_up_proj": gate_up,
    ".mlp.act_fn": gated,
    ".mlp.down_proj": ".mlp.down_proj",
    ".mlp": ".mlp",
    "": ".mlp",
    "#1": ":attn_residual",
}


def vllm(dump: Arrays) -> Arrays:
    """Batch and tokens in one axis; a layer leaves the sum to the norm after it, an activation multiplies with `up`."""
    around = (_AROUND[0], {"model.norm": "model.norm"})
    named = renamed(dump, "model.layers.{}", _VLLM, around)
    flat = {name: array.reshape(-1, array.shape[-1]) for name, array in named.items()}
    return {**flat, "logits_processor": dump["logits"][0, -1:]}


def vllm_plain(dump: Arrays) -> Arrays:
    """The same by hooks that keep the first of what a module returns."""
    return {name: array for name, array in vllm(dump).items() if "#" not in name}


def transformer_lens(dump: Arrays) -> Arrays:
    sites: Sites = {
        ".hook_resid_pre": ":input",
        ".ln1.hook_normalized": "!.input_layernorm",
        ".attn.hook_q": _heads_of(".self_attn.q_proj"),
        ".attn.hook_k": _heads_of(".self_attn.k_proj"),
        ".attn.hook_v": _heads_of(".self_attn.v_proj"),
        ".attn.hook_rot_q": _heads_of(".self_attn:q"),
        ".attn.hook_rot_k": _heads_of(".self_attn:k"),
        ".attn.hook_z": _heads_of(".self_attn:heads"),
        ".hook_attn_out": ".self_attn",
        ".hook_resid_mid": ":attn_residual",
        ".ln2.hook_normalized": "!.post_attention_layernorm",
        ".mlp.hook_pre": ".mlp.gate_proj",
        ".mlp.hook_pre_linear": ".mlp.up_proj",
        ".mlp.hook_post": gated,
        ".hook_mlp_out": ".mlp",
        ".hook_resid_post": "",
    }
    named = renamed(dump, "blocks.{}", sites, ({"hook_embed": "model.embed_tokens"}, {}))
    return {**named, "ln_final.hook_normalized": dump["model.norm"] / _norm("model.norm")}


def _pairs_of_heads(place: str) -> Source:
    """[B,H,T,K] to [B,T,H,K], adjacent pairs."""
    return lambda get: in_pairs(get(place).swapaxes(1, 2))


_GGML: Sites = {
    "norm-{}": "!.input_layernorm",
    "attn_norm-{}": ".input_layernorm",
    "Qcur-{}": _pairs_of(".self_attn.q_proj"),
    "Kcur-{}": _pairs_of(".self_attn.k_proj"),
    "Vcur-{}": ".self_attn.v_proj",
    "Qcur-{} (reshaped)": lambda get: in_pairs(get(".self_attn.q_proj")).reshape(1, -1, HEADS, SIZE),
    "Qcur-{}#1": _pairs_of_heads(".self_attn:q"),
    "Kcur-{}#1": _pairs_of_heads(".self_attn:k"),
    "kqv_out-{}": _flat(".self_attn:heads"),
    "attn_out-{}": ".self_attn",
    "ffn_inp-{}": ":attn_residual",
    "ffn_norm-{}": ".post_attention_layernorm",
    "ffn_gate-{}": ".mlp.gate_proj",
    "ffn_up-{}": ".mlp.up_proj",
    "ffn_swiglu-{}": gated,
    "ffn_out-{}": ".mlp",
    "l_out-{}": "",
}


def ggml(dump: Arrays) -> Arrays:
    """llama.cpp's, one prompt without a batch; repeats of a name are numbered."""
    named: dict[str, Array] = {"embd": dump["model.embed_tokens"][0]}
    for number in range(LAYERS):
        get = _in_layer(dump, number)
        for name, source in _GGML.items():
            named[name.format(number)] = (get(source) if isinstance(source, str) else source(get))[0]
    before = (dump["model.norm"] / _norm("model.norm"))[0]
    return {**named, "norm": before, "result_norm": dump["model.norm"][0], "result_output": dump["lm_head"][0]}


def ggml_last_position(dump: Arrays) -> Arrays:
    """The same with what llama.cpp computes when nothing else was asked for."""
    whole = {name: array for name, array in ggml(dump).items() if not name.startswith("norm")}
    after = ("ffn_inp", "ffn_norm", "ffn_gate", "ffn_up", "ffn_swiglu", "ffn_out", "l_out")
    last = {"result_norm", "result_output", *(f"{name}-{LAYERS - 1}" for name in after)}
    return {name: array[-1] if name in last else array for name, array in whole.items()}


NAMINGS: Mapping[str, Callable[[Arrays], Arrays]] = {
    naming.__name__: naming
    for naming in (
        mlx,
        flax,
        flax_calls,
        nnsight,
        nnsight_paths,
        megatron,
        megatron_fused,
        torchtune,
        torchtune_decoder,
        litgpt,
        litgpt_by_group,
        gpt_fast,
        vllm,
        vllm_plain,
        transformer_lens,
        ggml,
        ggml_last_position,
    )
}
