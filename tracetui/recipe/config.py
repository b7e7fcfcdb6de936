"""A model's configuration in transformers' field names, checked before transformers sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracetui.recipe.bounded import Fields, check_plain

MAX_WIDTH = 2**20
MAX_FEED_FORWARD = 2**24
MAX_LAYERS = 4096
MAX_VOCABULARY = 2**24
_SIZES = {
    "hidden_size": MAX_WIDTH,
    "intermediate_size": MAX_FEED_FORWARD,
    "num_hidden_layers": MAX_LAYERS,
    "num_attention_heads": MAX_WIDTH,
    "vocab_size": MAX_VOCABULARY,
}


def check_config(found: Mapping[str, object], where: str | Path, prefix: str = "") -> dict[str, object]:
    """The configuration as a dict of its own, every size a real int within limits.

    Raises InputError reading `file: field: problem, got …`.
    """
    check_plain(found, where)
    fields = Fields(found, where, prefix)
    fields.text("model_type")
    for field, most in _SIZES.items():
        fields.integer(field, most=most)
    heads = fields.integer("num_attention_heads")
    kv_heads = fields.integer("num_key_value_heads", default=heads)
    if heads % kv_heads:
        fields.fail("num_key_value_heads", f"must divide num_attention_heads, {heads}")
    if found.get("head_dim") is None and fields.integer("hidden_size") % heads:
        fields.fail("num_attention_heads", f"must divide hidden_size, {found['hidden_size']}, or head_dim be given")
    fields.integer("head_dim", default=1, most=2**16)
    fields.integer("max_position_embeddings", default=1)
    fields.number("rms_norm_eps", default=1e-6, most=1.0)
    fields.number("initializer_range", default=0.02, most=1.0)
    _check_rope(fields)
    return dict(found)


def _check_rope(fields: Fields) -> None:
    fields.number("rope_theta", default=10_000.0)
    rope = fields.found.get("rope_parameters")
    if rope is None:
        return
    if not isinstance(rope, dict):
        fields.fail("rope_parameters", "must be a table")
    Fields(rope, fields.where, f"{fields.prefix}rope_parameters.").number("rope_theta", default=10_000.0)
