"""A model's configuration in transformers' field names, checked before transformers sees it.

Families name the same size differently (GPT-2's `n_embd` is `hidden_size` elsewhere). Only what every family has is
demanded, under any of its names; whatever else a family needs is left to its own class in transformers. Of a
configuration of several parts the text model's is taken.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tracetui.analysis.experts.fields import EXPERT_COUNTS
from tracetui.formats.table import Fields, check_plain
from tracetui.recipe import class_defaults as known
from tracetui.recipe.text_part import text_part
from tracetui.text import visible

MAX_WIDTH = 2**20
MAX_FEED_FORWARD = 2**24
MAX_LAYERS = 4096
MAX_VOCABULARY = 2**24
MAX_EXPERTS = 2**14
MAX_POSITIONS = 2**30
LAYER_FIELDS = ("decoder_layers", "num_decoder_layers", "num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""Where a family has an encoder too, what its decoder has comes first."""
LAYER_LISTS = ("layers_block_type", "layer_types", "hybrid_override_pattern")
"""An entry, or a letter, for each layer."""
_WIDTH_FIELDS = ("hidden_size", "n_embd", "d_model", "emb_dim")
HEAD_FIELDS = (
    *("decoder_attention_heads", "num_decoder_attention_heads"),
    *("num_attention_heads", "n_head", "n_heads", "num_heads"),
)
_SIZES = ((_WIDTH_FIELDS, MAX_WIDTH, known.WIDTH), (("vocab_size",), MAX_VOCABULARY, known.VOCABULARY))
_LIMITS = {
    **dict.fromkeys(HEAD_FIELDS, MAX_WIDTH),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "moe_intermediate_size"), MAX_FEED_FORWARD),
    **dict.fromkeys(EXPERT_COUNTS, MAX_EXPERTS),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), MAX_POSITIONS),
    "head_dim": 2**16,
    # transformers makes a table of so many names.
    "num_labels": 2**16,
}
"""The most that a size may be where it is given and not null."""
_HEAD_WIDTH_FIELDS = ("head_dim", "attention_head_size", "kv_lora_rank")
"""Where one is given, heads are as wide as fields of their own say."""


def check_config(config: Mapping[str, object], where: str | Path, prefix: str = "") -> dict[str, object]:
    """The configuration as a dict of its own, every size a real int within limits.

    Raises InputError reading `file: field: problem, got …`.
    """
    check_plain(config, where)
    if (part := text_part(config, where)) is not None:
        config, prefix = part.config, f"{prefix}{part.place}." if part.place else prefix
    fields = Fields(config, where, prefix)
    # Of a part, files leave out what its class has; a whole configuration without a size is a mistake.
    kind = fields.text("model_type") if part is None else str(config["model_type"])
    class_of_part = kind if part is not None else None
    _check_type(fields, kind)
    _check_layers(fields, class_of_part)
    for names, most, which in _SIZES:
        fields.integer(_name(fields, names), default=known.class_size(class_of_part, which), most=most)
    for field, most in _LIMITS.items():
        _check_limit(fields, field, most)
    _check_heads(fields)
    for field in ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps"):
        fields.number(field, default=1e-6, most=1.0)
    fields.number("initializer_range", default=0.02, most=1.0)
    _check_rope(fields)
    return dict(config)


def _check_type(fields: Fields, kind: str) -> None:
    """A type that nobody knows is told before a size that its own fields may have under another name."""
    types = known.known_types()
    if kind in types or _parts_with_layers(fields.found):
        return
    sizes: list[tuple[Sequence[str], str]] = [(names, names[0]) for names, _, _ in _SIZES]
    if not _layer_list(fields.found):
        sizes.insert(0, (LAYER_FIELDS, "num_hidden_layers"))
    for names, usual in sizes:
        if all(fields.found.get(name) is None for name in names):
            near = difflib.get_close_matches(kind, types, n=1)
            meant = f" (is {near[0]} meant?)" if near else ""
            fields.fail("model_type", f"no family of that name is known{meant}, and {usual} is missing")


def layer_count(config: Mapping[str, object]) -> int:
    """Decoder layers of a checked configuration, built or not."""
    count = next((config[name] for name in LAYER_FIELDS if config.get(name) is not None), None)
    count = count or _listed_layers(config) or known.class_size(config.get("model_type"), known.LAYERS)
    assert isinstance(count, int)
    return count


def with_layers(config: Mapping[str, object], count: int) -> dict[str, object]:
    """The configuration of the model's first `count` layers."""
    field = next((name for name in LAYER_FIELDS if config.get(name) is not None), None)
    if field is None and (listed := _layer_list(config)) is not None:
        return {**config, listed[0]: listed[1][:count]}
    return {**config, field or "num_hidden_layers": count}


def _layer_list(config: Mapping[str, object]) -> tuple[str, list[object] | str] | None:
    """The field that has something for each layer, and what it has."""
    lists = ((name, config.get(name)) for name in LAYER_LISTS)
    return next(((name, value) for name, value in lists if isinstance(value, list | str) and value), None)


def _listed_layers(config: Mapping[str, object]) -> int | None:
    listed = _layer_list(config)
    return len(listed[1]) if listed else None


def _check_layers(fields: Fields, kind: str | None) -> None:
    listed = _layer_list(fields.found)
    name = next((name for name in LAYER_FIELDS if fields.found.get(name) is not None), None)
    if name is None and listed is not None and len(listed[1]) > MAX_LAYERS:
        fields.fail(listed[0], f"must have at most {MAX_LAYERS:,} entries")
    default = _listed_layers(fields.found) or known.class_size(kind, known.LAYERS)
    if name is None and default is None and len(parts := _parts_with_layers(fields.found)) > 1:
        names = ", ".join(visible(part, 40) for part in parts[:4])
        advice = "give such a model to tracetui.trace() from Python"
        fields.fail("model_type", f"has its layers in {names}, none of them a language model of its own; {advice}")
    fields.integer(name or "num_hidden_layers", default=default, most=MAX_LAYERS)


def _parts_with_layers(config: Mapping[str, object]) -> list[str]:
    """The fields of a configuration that are configurations in turn, with layers of their own."""
    parts = [name for name, part in config.items() if isinstance(part, dict) and any(map(part.get, LAYER_FIELDS))]
    return sorted(parts)


def _name(fields: Fields, names: tuple[str, ...]) -> str:
    """What this family calls a size; the common name where it has none."""
    return next((name for name in names if fields.found.get(name) is not None), names[0])


def _check_limit(fields: Fields, field: str, most: int) -> None:
    """A size is a number, or a list of them where layers differ."""
    value = fields.found.get(field)
    for size in value if isinstance(value, list) else [value]:
        Fields({field: size}, fields.where, fields.prefix).integer(field, default=1, most=most, least=0)


def _check_heads(fields: Fields) -> None:
    name = _name(fields, HEAD_FIELDS)
    if fields.found.get(name) is None:
        return
    heads = fields.integer(name)
    kv_heads = fields.integer("num_key_value_heads", default=heads)
    if heads % kv_heads:
        fields.fail("num_key_value_heads", f"must divide {name}, {heads}")
    kind = fields.found.get("model_type")
    width_name = _name(fields, _WIDTH_FIELDS)
    width = fields.integer(width_name, default=known.class_size(kind, known.WIDTH))
    widths = (fields.found.get(name) for name in _HEAD_WIDTH_FIELDS)
    own_width = next(filter(None, widths), None) or known.class_size(kind, known.HEAD_WIDTH)
    if not own_width and width % heads:
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
        # Some families have a table for each kind of layer.
        for kind, inner in rope.items():
            if isinstance(inner, dict):
                _check_turning(Fields(inner, fields.where, f"{fields.prefix}{name}.{visible(kind, 40)}."))


def _check_turning(fields: Fields) -> None:
    """What rotary tables are made with: a factor of 0 would divide by it, more than all of a head can't be turned."""
    fields.number("rope_theta", default=10_000.0)
    fields.number("partial_rotary_factor", default=1.0, most=1.0)
    if fields.prefix.endswith("."):
        fields.number("factor", default=1.0)
