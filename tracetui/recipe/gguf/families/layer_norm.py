"""Architectures whose norms subtract the mean, most of them with biases."""

from __future__ import annotations

from tracetui.recipe.gguf.families.common import Config, layer_count_of, rope_of, window_kinds
from tracetui.recipe.gguf.keys import Keys

_COHERE2_PERIOD = 4
"""One layer of so many sees everything, and has no positions."""


def command_r(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "cohere",
        "head_dim": None,
        "layer_norm_eps": keys.number("attention.layer_norm_epsilon"),
        "logit_scale": keys.number("logit_scale") or 1.0,
        "use_qk_norm": keys.has_tensor("blk.0.attn_q_norm.weight"),
    }


def cohere2(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "cohere2",
        "layer_norm_eps": keys.number("attention.layer_norm_epsilon"),
        "logit_scale": keys.number("logit_scale") or 1.0,
        "sliding_window": keys.needed_integer("attention.sliding_window"),
        "layer_types": window_kinds(keys, config, _COHERE2_PERIOD),
    }


def starcoder2(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "starcoder2",
        "head_dim": None,
        "norm_epsilon": keys.number("attention.layer_norm_epsilon"),
        "use_bias": keys.has_tensor("blk.0.attn_output.bias"),
        "sliding_window": None,
    }


def stablelm(keys: Keys, config: Config) -> dict[str, object]:
    keys.ignore("use_parallel_residual")  # llama.cpp goes by whether there is a norm before the feed-forward
    return {
        "model_type": "stablelm",
        "head_dim": None,
        "layer_norm_eps": keys.number("attention.layer_norm_epsilon"),
        "use_parallel_residual": not keys.has_tensor("blk.0.ffn_norm.weight"),
        "use_qkv_bias": config["attention_bias"],
        "qk_layernorm": keys.has_tensor("blk.0.attn_q_norm.weight"),
        "rope_parameters": _whole_or_part(config),
    }


def phi2(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "phi",
        "head_dim": None,
        "layer_norm_eps": keys.number("attention.layer_norm_epsilon"),
        "rope_parameters": _whole_or_part(config),
    }


def nemotron(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "nemotron",
        "norm_eps": keys.number("attention.layer_norm_epsilon"),
        "mlp_bias": keys.has_tensor("blk.0.ffn_up.bias"),
        "rope_parameters": _whole_or_part(config),
    }


def _whole_or_part(config: Config) -> dict[str, object]:
    """How much of a head turns, said even where it is all of it: these classes have another share by themselves."""
    return {"partial_rotary_factor": 1.0, **rope_of(config)}


def olmo(keys: Keys, config: Config) -> dict[str, object]:
    keys.ignore("attention.layer_norm_epsilon")
    return {"model_type": "olmo", "head_dim": None, "clip_qkv": keys.number("attention.clamp_kqv")}


def gpt2(keys: Keys, config: Config) -> dict[str, object]:
    width = config["hidden_size"]
    return {
        "model_type": "gpt2",
        "n_embd": width,
        "n_layer": layer_count_of(config),
        "n_head": config["num_attention_heads"],
        "n_inner": config["intermediate_size"],
        "n_positions": config["max_position_embeddings"],
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon"),
        **dict.fromkeys(_NOT_GPT2S),
    }


_NOT_GPT2S = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("intermediate_size", "max_position_embeddings", "rope_parameters", "attention_bias", "rms_norm_eps"),
)
