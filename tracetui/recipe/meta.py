"""Meta's params.json, in transformers' words.

Source of the field meanings: the ModelArgs and FeedForward of Meta's Llama 3 reference code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from tracetui.formats.table import Fields, check_plain
from tracetui.recipe.config import MAX_FEED_FORWARD, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH, check_config

_KNOWN = frozenset(
    {
        "dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "multiple_of", "ffn_dim_multiplier", "norm_eps",
        "rope_theta", "use_scaled_rope", "rope_scaling_factor", "rope_high_freq_factor", "max_batch_size",
        "max_seq_len", "vision_chunk_size",
    }
)  # fmt: skip
_REFUSED = ("moe_args", "vision_chunk_size", "vision_args", "quantization_args", "lora_args")
_UNUSED = -1
"""What Meta writes into a field that is decided elsewhere."""
_TRAINED_LENGTH = 8192
_SCALED_LENGTH = 131_072
_LOW_FREQUENCY_FACTOR = 1.0


def llama_config(params: Mapping[str, object], where: str | Path, prefix: str = "") -> dict[str, object]:
    """transformers' Llama configuration for Meta's parameters. Raises InputError naming the field."""
    check_plain(params, where)
    fields = Fields(params, where, prefix)
    for field in _REFUSED:
        if params.get(field) not in (None, _UNUSED):
            fields.fail(field, "describes a kind of model that tracetui doesn't build")
    dim = fields.integer("dim", most=MAX_WIDTH)
    heads = fields.integer("n_heads", most=MAX_WIDTH)
    if dim % heads or (dim // heads) % 2:
        fields.fail("n_heads", f"must divide dim, {dim}, into heads of an even size")
    kv_heads = fields.integer("n_kv_heads", default=heads)
    if heads % kv_heads:
        fields.fail("n_kv_heads", f"must divide n_heads, {heads}")
    bos = 128_000
    if params.get("vocab_size") == _UNUSED:
        fields.fail("vocab_size", "is left to the tokenizer; write its size there, 32000 for Llama 1 and 2")
    vocabulary = fields.integer("vocab_size", most=MAX_VOCABULARY)
    config: dict[str, object] = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": dim,
        "intermediate_size": feed_forward_size(fields),
        "num_hidden_layers": fields.integer("n_layers", most=MAX_LAYERS),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": dim // heads,
        "vocab_size": vocabulary,
        "rms_norm_eps": fields.number("norm_eps", default=1e-5, most=1.0),
        "rope_parameters": _rope(fields),
        "max_position_embeddings": _SCALED_LENGTH if fields.flag("use_scaled_rope") else _TRAINED_LENGTH,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": bos if vocabulary > bos else None,
        "eos_token_id": bos + 1 if vocabulary > bos + 1 else None,
    }
    return check_config(config, where, prefix)


def feed_forward_size(fields: Fields) -> int:
    """The FFN's hidden size: 2/3 of 4·dim, times the multiplier, rounded up to a multiple of multiple_of."""
    size = int(2 * (4 * fields.integer("dim")) / 3)
    if fields.found.get("ffn_dim_multiplier") is not None:
        size = int(fields.number("ffn_dim_multiplier", default=1.0, most=1000.0) * size)
        if not 1 <= size <= MAX_FEED_FORWARD:
            fields.fail(
                "ffn_dim_multiplier", f"must give a hidden size between 1 and {MAX_FEED_FORWARD:,}, not {size:,}"
            )
    multiple = fields.integer("multiple_of", default=256, most=2**20)
    return multiple * math.ceil(size / multiple)


def unknown_fields(params: Mapping[str, object]) -> tuple[str, ...]:
    """Fields that are read over: a newer file may mean something by them."""
    return tuple(sorted(field for field in params if field not in _KNOWN))


def _rope(fields: Fields) -> dict[str, object]:
    theta = fields.number("rope_theta", default=10_000.0)
    if not fields.flag("use_scaled_rope"):
        return {"rope_type": "default", "rope_theta": theta}
    return {
        "rope_type": "llama3",
        "rope_theta": theta,
        "factor": fields.number("rope_scaling_factor", default=8.0),
        "low_freq_factor": _LOW_FREQUENCY_FACTOR,
        "high_freq_factor": fields.number("rope_high_freq_factor", default=4.0, above=_LOW_FREQUENCY_FACTOR),
        "original_max_position_embeddings": _TRAINED_LENGTH,
    }
