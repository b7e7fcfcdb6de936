"""The configuration of DeepSeek-V3's reference inference code, in transformers' words.

Source of the fields and what is left out of them: the ModelArgs of that code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tracetui.formats.table import Fields, check_plain
from tracetui.recipe.config import (
    MAX_EXPERTS,
    MAX_FEED_FORWARD,
    MAX_LAYERS,
    MAX_POSITIONS,
    MAX_VOCABULARY,
    MAX_WIDTH,
    check_config,
)

ARCHITECTURE = "Transformer"
"""What the reference code calls its model: it tells one of this layout from transformers' own."""
READ_HERE = frozenset({"scoring_func", "topk_method"})
"""What a model of this layout is built by, and transformers' class doesn't read."""
BIAS_WIDTH = 7168
"""The one `dim` at which the reference code's gate has a selection bias."""
_BIASED, _UNBIASED = "noaux_tc", "group_limited_greedy"
_KNOWN = frozenset(
    {
        "max_batch_size", "max_seq_len", "dtype", "scale_fmt", "vocab_size", "dim", "inter_dim", "moe_inter_dim",
        "n_layers", "n_dense_layers", "n_heads", "n_routed_experts", "n_shared_experts", "n_activated_experts",
        "n_expert_groups", "n_limited_groups", "score_func", "route_scale", "q_lora_rank", "kv_lora_rank",
        "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "original_seq_len", "rope_theta", "rope_factor",
        "beta_fast", "beta_slow", "mscale",
    }
)  # fmt: skip
_TELLING = ("inter_dim", "moe_inter_dim", "n_dense_layers", "n_activated_experts", "kv_lora_rank", "qk_nope_head_dim")
"""Fields by which this code's configuration is told from Meta's, which has dim and n_layers too."""
_REFUSED = ("index_n_heads", "index_head_dim", "index_topk")
_DTYPES = ("bf16", "fp8")
_SCORES = ("softmax", "sigmoid")
_MOST_SCALE = 1000.0


def is_reference_form(config: Mapping[str, object]) -> bool:
    """Whether a configuration has the reference code's fields: it says no model_type, but its own sizes."""
    return "model_type" not in config and "dim" in config and any(field in config for field in _TELLING)


def is_reference(config: Mapping[str, object]) -> bool:
    """Whether a configuration in transformers' words was made from the reference code's."""
    return config.get("model_type") == "deepseek_v3" and config.get("architectures") == [ARCHITECTURE]


def reference_config(params: Mapping[str, object], where: str | Path, prefix: str = "") -> dict[str, object]:
    """transformers' DeepSeek-V3 configuration for the reference code's. Raises InputError naming the field."""
    check_plain(params, where)
    fields = Fields(params, where, prefix)
    for field in _REFUSED:
        if params.get(field) is not None:
            fields.fail(field, "describes a sparse attention that tracetui doesn't build in this layout")
    _choice(fields, "dtype", _DTYPES)
    config: dict[str, object] = {
        "model_type": "deepseek_v3",
        "architectures": [ARCHITECTURE],
        "vocab_size": fields.integer("vocab_size", most=MAX_VOCABULARY),
        "hidden_size": fields.integer("dim", most=MAX_WIDTH),
        "intermediate_size": fields.integer("inter_dim", default=10_944, most=MAX_FEED_FORWARD),
        "num_hidden_layers": fields.integer("n_layers", most=MAX_LAYERS),
        "max_position_embeddings": fields.integer("max_seq_len", default=16_384, most=MAX_POSITIONS),
        **_attention(fields),
        **_experts(fields),
        "rope_parameters": _rope(fields),
        "rope_interleave": True,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    return check_config(config, where, prefix)


def unknown_reference_fields(said: Mapping[str, object]) -> tuple[str, ...]:
    """Fields that are read over: a newer file may mean something by them."""
    return tuple(sorted(field for field in said if field not in _KNOWN))


def _attention(fields: Fields) -> dict[str, object]:
    heads = fields.integer("n_heads", default=16, most=MAX_WIDTH)
    rotated = fields.integer("qk_rope_head_dim", default=64, most=MAX_WIDTH)
    if rotated % 2:
        fields.fail("qk_rope_head_dim", "must be even: adjacent pairs are rotated")
    return {
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "q_lora_rank": fields.integer("q_lora_rank", default=0, least=0, most=MAX_WIDTH) or None,
        "kv_lora_rank": fields.integer("kv_lora_rank", default=512, most=MAX_WIDTH),
        "qk_nope_head_dim": fields.integer("qk_nope_head_dim", default=128, most=MAX_WIDTH),
        "qk_rope_head_dim": rotated,
        "v_head_dim": fields.integer("v_head_dim", default=128, most=MAX_WIDTH),
        "attention_bias": False,
    }


def _experts(fields: Fields) -> dict[str, object]:
    """The feed-forward blocks. Weights are normalised where scores are sigmoids: a softmax's are what they are."""
    score = _choice(fields, "score_func", _SCORES)
    experts = fields.integer("n_routed_experts", default=64, most=MAX_EXPERTS)
    groups = fields.integer("n_expert_groups", default=1)
    limited = fields.integer("n_limited_groups", default=1)
    chosen = fields.integer("n_activated_experts", default=6)
    biased = fields.integer("dim") == BIAS_WIDTH
    if experts % groups:
        fields.fail("n_expert_groups", f"must divide n_routed_experts, {_said(fields, 'n_routed_experts', experts)}")
    if biased and groups > 1 and experts // groups < 2:
        fields.fail("n_expert_groups", "must leave two experts in a group: groups are ranked by their best two")
    if limited > groups:
        fields.fail("n_limited_groups", f"must be at most n_expert_groups, {_said(fields, 'n_expert_groups', groups)}")
    if chosen > experts // groups * limited:
        unsaid = "" if "n_activated_experts" in fields.found else f", and is {chosen} by default"
        problem = f"must be at most the {experts // groups * limited} of the groups used{unsaid}"
        fields.fail("n_activated_experts", problem)
    return {
        "moe_intermediate_size": fields.integer("moe_inter_dim", default=1408, most=MAX_FEED_FORWARD),
        "first_k_dense_replace": fields.integer("n_dense_layers", default=1, least=0, most=MAX_LAYERS),
        "n_routed_experts": experts,
        "n_shared_experts": fields.integer("n_shared_experts", default=2, most=MAX_EXPERTS),
        "num_experts_per_tok": chosen,
        "n_group": groups,
        "topk_group": limited,
        "topk_method": _BIASED if biased else _UNBIASED,
        "scoring_func": score,
        "norm_topk_prob": score == "sigmoid",
        "routed_scaling_factor": fields.number("route_scale", default=1.0),
    }


def _rope(fields: Fields) -> dict[str, object]:
    """Stretched by YaRN where more room is made than was trained on; plain otherwise, whatever rope_factor says."""
    theta = fields.number("rope_theta", default=10_000.0, above=1.0)
    trained = fields.integer("original_seq_len", default=4096, most=MAX_POSITIONS)
    factor = fields.number("rope_factor", default=40.0)
    scale = fields.number("mscale", default=1.0, above=-_MOST_SCALE, most=_MOST_SCALE)
    fast, slow = fields.number("beta_fast", default=32.0), fields.number("beta_slow", default=1.0)
    if fields.integer("max_seq_len", default=16_384, most=MAX_POSITIONS) <= trained:
        return {"rope_type": "default", "rope_theta": theta}
    if factor < 1:
        fields.fail("rope_factor", "must be at least 1 where max_seq_len is more than original_seq_len")
    return {
        "rope_type": "yarn",
        "rope_theta": theta,
        "factor": factor,
        "original_max_position_embeddings": trained,
        "beta_fast": fast,
        "beta_slow": slow,
        "mscale": scale,
        "mscale_all_dim": scale,
        # The scores alone are scaled in this code, never the rotated parts.
        "attention_factor": 1.0,
    }


def _said(fields: Fields, field: str, value: int) -> str:
    return str(value) if fields.found.get(field) is not None else f"{value} by default"


def _choice(fields: Fields, field: str, choices: tuple[str, ...]) -> str:
    said = fields.text(field, default=choices[0])
    if said not in choices:
        fields.fail(field, f"must be {' or '.join(choices)}")
    return said
