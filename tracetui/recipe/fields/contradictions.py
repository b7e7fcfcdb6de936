"""Where the fields of a configuration contradict each other, or what is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tracetui.analysis.experts.fields import EXPERT_COUNTS
from tracetui.recipe.reference import is_reference

Config = Mapping[str, object]
_ALWAYS = {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1}
"""What transformers' DeepSeek-V3 does whatever the file says."""


def contradictions(file: Config, built: Config) -> list[str]:
    """Each contradiction as `fields: what is wrong`.

    file: the fields as the file has them. built: those of transformers' configuration, defaults filled in.
    """
    return [
        *_attention(file, built),
        *_experts(file, built),
        *_rope(file, built),
        *_tokens(built),
        *_deepseek(file, built),
    ]


def _attention(file: Config, built: Config) -> Iterator[str]:
    window, longest = _number(built, "sliding_window"), _number(built, "max_position_embeddings")
    if window and longest and window > longest:
        yield f"sliding_window: {window:g} is more than max_position_embeddings, {longest:g}: the window never ends"
    if built.get("use_sliding_window") is False and _number(file, "sliding_window") and "layer_types" not in file:
        return
    types, layers = file.get("layer_types"), _number(built, "num_hidden_layers")
    if isinstance(types, list) and layers is not None and len(types) != layers:
        yield f"layer_types: has {len(types)} entries for num_hidden_layers, {layers:g}"
    if built.get("use_sliding_window") and _number(built, "max_window_layers") == layers:
        yield f"use_sliding_window: is set, but max_window_layers, {layers:g}, leaves no layer with a window"


def _experts(file: Config, built: Config) -> Iterator[str]:
    """One count may have several names: the file's own is told."""
    names = sorted(EXPERT_COUNTS, key=lambda name: name not in file)
    name = next((name for name in names if _number(built, name) or _number(file, name)), None)
    if name is None:
        return
    experts, chosen = _number(built, name) or _number(file, name) or 0, _number(built, "num_experts_per_tok") or 0
    if chosen > experts:
        yield f"num_experts_per_tok: {chosen:g} are chosen of {name}, {experts:g}"
    groups, kept = _number(built, "n_group"), _number(built, "topk_group")
    if groups and experts % groups:
        yield f"n_group: {groups:g} doesn't divide {name}, {experts:g}"
    if groups and kept and kept > groups:
        yield f"topk_group: {kept:g} groups are kept of n_group, {groups:g}"
    elif groups and kept and chosen > experts / groups * kept:
        yield f"num_experts_per_tok: {chosen:g} are chosen of {experts / groups * kept:g}, all that topk_group leaves"
    dense, layers = _number(built, "first_k_dense_replace"), _number(built, "num_hidden_layers")
    if dense is not None and layers is not None and dense >= layers:
        yield f"first_k_dense_replace: {dense:g} of {layers:g} layers are dense, so none has experts"


def _rope(file: Config, built: Config) -> Iterator[str]:
    thetas: dict[str, float] = {}
    for place in ("rope_theta", "rope_parameters", "rope_scaling"):
        table = file.get(place)
        theta = _number(table, "rope_theta") if isinstance(table, Mapping) else _number(file, place)
        if theta is not None:
            thetas[place if place == "rope_theta" else f"{place}.rope_theta"] = theta
    if len(set(thetas.values())) > 1:
        used = built.get("rope_parameters")
        theta = _number(used, "rope_theta") if isinstance(used, Mapping) else None
        each = ", ".join(f"{place} {value:g}" for place, value in thetas.items())
        yield f"rope_theta: is given differently, {each}" + (f"; {theta:g} is used" if theta is not None else "")
    if file.get("rope_parameters") is not None and file.get("rope_scaling") is not None:
        yield "rope_scaling: is given beside rope_parameters, which says the same in newer words"
    # In the reference code the longest text has nothing to do with the factor.
    yield from () if is_reference(file) else _stretched(built)


def _stretched(built: Config) -> Iterator[str]:
    rope, longest = built.get("rope_parameters"), _number(built, "max_position_embeddings")
    if not isinstance(rope, Mapping) or rope.get("rope_type") != "yarn" or longest is None:
        return
    factor, original = _number(rope, "factor"), _number(rope, "original_max_position_embeddings")
    if factor and original and factor * original != longest:
        reached = f"original_max_position_embeddings × factor is {factor * original:g}"
        yield f"rope_parameters: {reached}, max_position_embeddings {longest:g}"


def _tokens(built: Config) -> Iterator[str]:
    vocabulary = _number(built, "vocab_size")
    for field in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = built.get(field)
        ids = value if isinstance(value, list) else [value]
        beyond = [i for i in ids if isinstance(i, int) and vocabulary is not None and i >= vocabulary]
        if beyond:
            yield f"{field}: {beyond[0]} is no token, vocab_size is {vocabulary:g}"


def _deepseek(file: Config, built: Config) -> Iterator[str]:
    if built.get("model_type") != "deepseek_v3" or is_reference(file):
        return
    for field, always in _ALWAYS.items():
        if file.get(field, always) != always:
            yield f"{field}: transformers' class doesn't read it and always does {always!r}"
    heads, shared = _number(built, "num_attention_heads"), _number(built, "num_key_value_heads")
    if heads != shared:
        yield f"num_key_value_heads: {shared} for {heads} heads, each of which has a key of its own here"
    rotated, head_dim = _number(built, "qk_rope_head_dim"), _number(file, "head_dim")
    if head_dim is not None and rotated is not None and head_dim != rotated:
        yield f"head_dim: {head_dim:g} differs from qk_rope_head_dim, {rotated:g}, which is what is rotated"


def _number(config: object, field: str) -> float | None:
    value = config.get(field) if isinstance(config, Mapping) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
