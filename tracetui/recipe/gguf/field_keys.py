"""Which keys of a GGUF file the fields of a configuration are read from: what is wrong with one is told by its key."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tracetui.errors import FieldError, InputError, bad_field
from tracetui.recipe.gguf.keys import Keys

_KEYS: Mapping[str, str] = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "kv_lora_rank": "attention.kv_lora_rank",
    "max_position_embeddings": "context_length",
    "sliding_window": "attention.sliding_window",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
    "factor": "rope.scaling.factor",
    "partial_rotary_factor": "rope.dimension_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "num_experts_per_tok": "expert_used_count",
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), "expert_count"),
}
"""By the last part of a field's name."""
_OTHERWISE: Mapping[str, str] = {
    "rope_parameters.sliding_attention.rope_theta": "rope.freq_base_swa",
    "factor": "rope.scale_linear",
}
"""Where a file has none of the usual key."""
_FIELD = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")


def by_key(error: FieldError, keys: Keys) -> InputError:
    """The error about a field as one about the key that the field was read from, with the value that stands there."""
    key = _key(error.field, keys)
    if key is None:
        return bad_field(keys.files.path, error.field, f"{error.problem} (a field made of the file's keys)")
    problem = _FIELD.sub(lambda name: _key(name[0], keys) or name[0], error.problem)
    return bad_field(keys.files.path, key, problem, keys.files.metadata.get(key))


def _key(field: str, keys: Keys) -> str | None:
    """The whole key; None where none of that kind stands in the file."""
    last = field.rpartition(".")[2]
    names = (_OTHERWISE.get(field), _KEYS.get(last), _OTHERWISE.get(last))
    there = (f"{keys.architecture}.{name}" for name in names if name is not None)
    return next((key for key in there if key in keys.files.metadata), None)
