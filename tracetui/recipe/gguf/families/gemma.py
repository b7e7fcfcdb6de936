"""Gemma's architectures."""

from __future__ import annotations

import math

from tracetui.recipe.gguf.families.common import (
    Config,
    head_size_of,
    layer_count_of,
    rope_of,
    window_kind,
    window_kinds,
)
from tracetui.recipe.gguf.keys import Keys

_GEMMA3_PERIOD, _GEMMA3N_PERIOD = 6, 5
"""One layer of so many sees everything."""
_GEMMA2_27B, _GEMMA3_27B = 46, 62
"""Layers of those whose queries are scaled by the width for each head instead of its own size, as llama.cpp tells."""
_STANDS_STILL = 1e20
"""Frequencies divided by so much, or more, don't turn."""
_THETA = 10_000.0
"""Of layers that see a window, where a file doesn't say."""


def gemma(keys: Keys, config: Config) -> dict[str, object]:
    return {"model_type": "gemma"}


def gemma2(keys: Keys, config: Config) -> dict[str, object]:
    return {
        "model_type": "gemma2",
        "sliding_window": keys.integer("attention.sliding_window") or 4096,
        "attn_logit_softcapping": keys.positive("attn_logit_softcapping") or 50.0,
        "final_logit_softcapping": keys.positive("final_logit_softcapping") or 30.0,
        "query_pre_attn_scalar": _attention_scalar(config, _GEMMA2_27B),
    }


def gemma3(keys: Keys, config: Config) -> dict[str, object]:
    window = keys.integer("attention.sliding_window")
    pattern = keys.pattern("attention.sliding_window_pattern", _GEMMA3_PERIOD, layer_count_of(config))
    return {
        "model_type": "gemma3_text",
        "sliding_window": window or 4096,
        "layer_types": [window_kind(bool(window) and slides) for slides in pattern],
        "final_logit_softcapping": keys.number("final_logit_softcapping") or None,
        "query_pre_attn_scalar": _attention_scalar(config, _GEMMA3_27B),
        "rope_parameters": _rope_of_both(keys, rope_of(config)),
    }


def _rope_of_both(keys: Keys, full: dict[str, object]) -> dict[str, object]:
    sliding = {"rope_type": "default", "rope_theta": keys.positive("rope.freq_base_swa") or _THETA}
    return {"full_attention": full, "sliding_attention": sliding}


def _attention_scalar(config: Config, layers_of_27b: int) -> int:
    """Whose root queries are divided by."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    assert isinstance(width, int)
    assert isinstance(heads, int)
    return width // heads if config["num_hidden_layers"] == layers_of_27b else head_size_of(config)


def gemma3n(keys: Keys, config: Config) -> dict[str, object]:
    layers = layer_count_of(config)
    scales = keys.numbers("activation_sparsity_scale")
    sparsity = [0.0] * layers if scales is None else [_below(scale) for scale in scales[:layers].tolist()]
    return {
        "model_type": "gemma3n_text",
        "intermediate_size": keys.integers("feed_forward_length", layers),
        "sliding_window": keys.needed_integer("attention.sliding_window"),
        "layer_types": window_kinds(keys, config, _GEMMA3N_PERIOD),
        "final_logit_softcapping": keys.number("final_logit_softcapping") or 30.0,
        "altup_active_idx": keys.integer("altup.active_idx") or 0,
        "altup_num_inputs": keys.integer("altup.num_inputs") or 4,
        "hidden_size_per_layer_input": keys.needed_integer("embedding_length_per_layer_input"),
        "vocab_size_per_layer_input": _rows(keys, "per_layer_token_embd.weight"),
        "num_kv_shared_layers": keys.integer("attention.shared_kv_layers") or 0,
        "laurel_rank": _rows(keys, "blk.0.laurel_l.weight"),
        "activation_sparsity_pattern": sparsity,
        "rope_parameters": _rope_of_both(keys, rope_of(config)),
    }


def _below(deviations: float) -> float:
    """The share of a normal distribution that lies below so many deviations; llama.cpp keeps them in its place."""
    return 0.0 if not math.isfinite(deviations) else round((1 + math.erf(deviations / math.sqrt(2))) / 2, 6)


def _rows(keys: Keys, tensor: str) -> int | None:
    place = keys.files.tensors.get(tensor)
    return None if place is None else place.shape[0]


def gemma4(keys: Keys, config: Config) -> dict[str, object]:
    layers = layer_count_of(config)
    kinds = window_kinds(keys, config, _GEMMA3_PERIOD)
    heads = keys.integers("attention.head_count_kv", layers)
    shared = keys.integer("attention.shared_kv_layers") or 0
    own = range(layers - shared)
    of_kind = {kind: {heads[layer] for layer in own if kinds[layer] == kind} for kind in set(kinds)}
    if any(len(counts) > 1 for counts in of_kind.values()):
        keys.fail("attention.head_count_kv", "must be one number for all layers that see alike")
    sliding, full = (next(iter(of_kind.get(kind, ())), None) for kind in ("sliding_attention", "full_attention"))
    widths = keys.integers("feed_forward_length", layers)
    size = keys.integer("attention.key_length_swa")
    keys.ignore("attention.value_length_swa", "rope.dimension_count_swa")
    alone = [layer for layer in own if kinds[layer] == "full_attention"]
    return {
        "model_type": "gemma4_text",
        "intermediate_size": min(widths),
        "use_double_wide_mlp": _is_double(keys, widths, shared),
        "sliding_window": keys.needed_integer("attention.sliding_window"),
        "layer_types": kinds,
        "num_key_value_heads": sliding or full,
        "num_global_key_value_heads": full,
        "attention_k_eq_v": any(not keys.has_tensor(f"blk.{layer}.attn_v.weight") for layer in alone),
        "head_dim": size or head_size_of(config),
        "global_head_dim": head_size_of(config),
        "final_logit_softcapping": keys.number("final_logit_softcapping") or None,
        "num_kv_shared_layers": shared,
        "hidden_size_per_layer_input": keys.integer("embedding_length_per_layer_input") or 0,
        "vocab_size_per_layer_input": _rows(keys, "per_layer_token_embd.weight"),
        "rope_parameters": _rope_of_both(keys, _proportional(keys, config)),
        **_gemma4_experts(keys),
    }


def _is_double(keys: Keys, widths: list[int], shared: int) -> bool:
    """Whether layers that share keys have feed-forwards twice as wide. Raises InputError for any other widths."""
    first, own = min(widths), len(widths) - shared
    doubled = [first] * own + [2 * first] * shared
    if widths not in ([first] * len(widths), doubled):
        keys.fail("feed_forward_length", "must be one number, or twice it for the layers that share keys")
    return shared > 0 and widths == doubled


def _proportional(keys: Keys, config: Config) -> dict[str, object]:
    """Of a head only the first frequencies turn: the others are divided by so much that they stand still."""
    theta = rope_of(config)["rope_theta"]
    factors = keys.files.vector("rope_freqs.weight") if keys.has_tensor("rope_freqs.weight") else None
    if factors is None:
        return {"rope_type": "default", "rope_theta": theta}
    turning = factors == 1
    if not turning[: int(turning.sum())].all() or (factors[~turning] < _STANDS_STILL).any():
        keys.fail("rope.freq_base", "rope_freqs.weight must be 1 for what turns, and 1e30 for what stands still")
    return {"rope_type": "proportional", "rope_theta": theta, "partial_rotary_factor": float(turning.mean())}


def _gemma4_experts(keys: Keys) -> dict[str, object]:
    if not keys.integer("expert_count"):
        return {"enable_moe_block": False}
    keys.ignore("expert_gating_func")
    return {
        "enable_moe_block": True,
        "num_experts": keys.needed_integer("expert_count"),
        "top_k_experts": keys.needed_integer("expert_used_count"),
        "moe_intermediate_size": keys.needed_integer("expert_feed_forward_length"),
    }
