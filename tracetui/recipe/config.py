"""A model's configuration in transformers' field names, checked before transformers sees it.

Families name the same size differently (GPT-2's `n_embd` is `hidden_size` elsewhere). Only what every family has is
demanded, under any of its names; whatever else a family needs is left to its own class in transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracetui.analysis.expert_fields import EXPERT_COUNTS
from tracetui.recipe.bounded import Fields, check_plain

MAX_WIDTH = 2**20
MAX_FEED_FORWARD = 2**24
MAX_LAYERS = 4096
MAX_VOCABULARY = 2**24
MAX_EXPERTS = 2**14
MAX_POSITIONS = 2**30
LAYER_FIELDS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTH_FIELDS = ("hidden_size", "n_embd", "d_model", "emb_dim")
_HEAD_FIELDS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_DEMANDED = ((LAYER_FIELDS, MAX_LAYERS), (_WIDTH_FIELDS, MAX_WIDTH), (("vocab_size",), MAX_VOCABULARY))
_LIMITS = {
    **dict.fromkeys(_HEAD_FIELDS, MAX_WIDTH),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "moe_intermediate_size"), MAX_FEED_FORWARD),
    **dict.fromkeys(EXPERT_COUNTS, MAX_EXPERTS),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), MAX_POSITIONS),
    "head_dim": 2**16,
    # transformers makes a table of so many names.
    "num_labels": 2**16,
}
"""The most that a size may be where it is given and not null."""
_OTHER_PARTS = ("text_config", "vision_config", "audio_config", "llm_config", "thinker_config")
_LATENT = "kv_lora_rank"
"""Where it is given, heads are as wide as fields of their own say."""


def check_config(found: Mapping[str, object], where: str | Path, prefix: str = "") -> dict[str, object]:
    """The configuration as a dict of its own, every size a real int within limits.

    Raises InputError reading `file: field: problem, got …`.
    """
    check_plain(found, where)
    fields = Fields(found, where, prefix)
    fields.text("model_type")
    for part in _OTHER_PARTS:
        if isinstance(found.get(part), dict):
            fields.fail(part, "describes a model of several parts; tracetui runs text models alone")
    for names, most in _DEMANDED:
        fields.integer(_name(fields, names), most=most)
    for field, most in _LIMITS.items():
        _check_limit(fields, field, most)
    _check_heads(fields)
    for field in ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps"):
        fields.number(field, default=1e-6, most=1.0)
    fields.number("initializer_range", default=0.02, most=1.0)
    _check_rope(fields)
    return dict(found)


def layer_count(config: Mapping[str, object]) -> int:
    """Decoder layers of a checked configuration, built or not."""
    found = next(config[name] for name in LAYER_FIELDS if config.get(name) is not None)
    assert isinstance(found, int)
    return found


def _name(fields: Fields, names: tuple[str, ...]) -> str:
    """What this family calls a size; the common name where it has none."""
    return next((name for name in names if fields.found.get(name) is not None), names[0])


def _check_limit(fields: Fields, field: str, most: int) -> None:
    """A size is a number, or a list of them where layers differ."""
    said = fields.found.get(field)
    for size in said if isinstance(said, list) else [said]:
        Fields({field: size}, fields.where, fields.prefix).integer(field, default=1, most=most, least=0)


def _check_heads(fields: Fields) -> None:
    name = _name(fields, _HEAD_FIELDS)
    if fields.found.get(name) is None:
        return
    heads = fields.integer(name)
    kv_heads = fields.integer("num_key_value_heads", default=heads)
    if heads % kv_heads:
        fields.fail("num_key_value_heads", f"must divide {name}, {heads}")
    width_name = _name(fields, _WIDTH_FIELDS)
    width = fields.integer(width_name)
    if fields.found.get("head_dim") is None and fields.found.get(_LATENT) is None and width % heads:
        fields.fail(name, f"must divide {width_name}, {width}, or head_dim be given")


def _check_rope(fields: Fields) -> None:
    _check_turning(fields)
    for name in ("rope_parameters", "rope_scaling"):
        rope = fields.found.get(name)
        if rope is None:
            continue
        if not isinstance(rope, dict):
            fields.fail(name, "must be a table")
        _check_turning(Fields(rope, fields.where, f"{fields.prefix}{name}."))


def _check_turning(fields: Fields) -> None:
    """What rotary tables are made with: a factor of 0 would divide by it, more than all of a head can't be turned."""
    fields.number("rope_theta", default=10_000.0)
    fields.number("partial_rotary_factor", default=1.0, most=1.0)
    if fields.prefix.endswith("."):
        fields.number("factor", default=1.0)
