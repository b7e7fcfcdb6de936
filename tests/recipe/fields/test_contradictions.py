"""Contradictions in a configuration are told, and sound ones are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from tracetui.recipe.fields.contradictions import contradictions

DEEPSEEK: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "vocab_size": 100,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "qk_rope_head_dim": 8,
    "n_routed_experts": 32,
    "num_experts_per_tok": 4,
    "n_group": 8,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "max_position_embeddings": 160,
    "rope_parameters": {
        "rope_type": "yarn",
        "factor": 40.0,
        "original_max_position_embeddings": 4,
        "rope_theta": 1e4,
    },
    "bos_token_id": 0,
    "eos_token_id": [1, 99],
    "scoring_func": "sigmoid",
}
MIXED: dict[str, Any] = {
    "model_type": "qwen2_moe",
    "vocab_size": 100,
    "num_hidden_layers": 4,
    "num_experts": 8,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 100,
    "sliding_window": 100,
}


@pytest.mark.parametrize("sound", [DEEPSEEK, MIXED, {}, {"model_type": "llama"}])
def test_nothing_is_said_of_a_sound_one(sound: dict[str, Any]) -> None:
    assert contradictions(sound, sound) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"n_group": 5}, "n_group: 5 doesn't divide n_routed_experts, 32"),
        ({"topk_group": 9}, "topk_group: 9 groups are kept of n_group, 8"),
        ({"num_experts_per_tok": 9}, "num_experts_per_tok: 9 are chosen of 8, all that topk_group leaves"),
        ({"first_k_dense_replace": 6}, "first_k_dense_replace: 6 of 6 layers are dense, so none has experts"),
        ({"scoring_func": "softmax"}, "scoring_func: transformers' class doesn't read it and always does 'sigmoid'"),
        ({"moe_layer_freq": 2}, "moe_layer_freq: transformers' class doesn't read it and always does 1"),
        ({"head_dim": 16}, "head_dim: 16 differs from qk_rope_head_dim, 8, which is what is rotated"),
        ({"num_key_value_heads": 2}, "num_key_value_heads: 2 for 4 heads, each of which has a key of its own here"),
        (
            {"max_position_embeddings": 80},
            "rope_parameters: original_max_position_embeddings × factor is 160, max_position_embeddings 80",
        ),
        (
            {"rope_theta": 5e5},
            "rope_theta: is given differently, rope_theta 500000, rope_parameters.rope_theta 10000; 1",
        ),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling: is given beside rope_parameters"),
        ({"eos_token_id": [1, 100]}, "eos_token_id: 100 is no token, vocab_size is 100"),
        ({"bos_token_id": 100}, "bos_token_id: 100 is no token"),
    ],
)
def test_what_is_wrong_with_a_deepseek_is_told(changed: dict[str, Any], said: str) -> None:
    config = {**DEEPSEEK, **changed}
    (found,) = contradictions(config, config)
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_experts_per_tok": 9}, "num_experts_per_tok: 9 are chosen of num_experts, 8"),
        ({"sliding_window": 101}, "sliding_window: 101 is more than max_position_embeddings, 100"),
        ({"layer_types": ["full_attention"] * 3}, "layer_types: has 3 entries for num_hidden_layers, 4"),
        (
            {"use_sliding_window": True, "max_window_layers": 4, "model_type": "qwen2"},
            "use_sliding_window: is set, but max_window_layers, 4, leaves no layer with a window",
        ),
    ],
)
def test_what_is_wrong_with_others_is_told(changed: dict[str, Any], said: str) -> None:
    config = {**MIXED, **changed}
    (found,) = contradictions(config, config)
    assert found.startswith(said)


def test_a_window_that_isn_t_used_contradicts_nothing() -> None:
    given = {**MIXED, "use_sliding_window": False, "sliding_window": 500}
    assert contradictions(given, {**given, "sliding_window": None}) == []


@pytest.mark.parametrize("value", [None, "8", True, [8], {"a": 8}, -1, 0, 1e300])
@pytest.mark.parametrize("field", sorted({*DEEPSEEK, "sliding_window", "rope_theta", "head_dim", "layer_types"}))
def test_no_value_of_another_kind_ends_in_an_error(field: str, value: object) -> None:
    config = {**DEEPSEEK, field: value}
    assert isinstance(contradictions(config, config), list)
