"""Counts of experts that no router can work with are told by their field, and sound ones are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tracer.mixture_models import FAMILIES, fields
from tracetui.errors import InputError
from tracetui.models.runnable import make_runnable
from tracetui.recipe import Layers, Recipe


def mixture(family: str, **changes: Any) -> Recipe:
    config = {**fields(family), "vocab_size": 320, **changes}
    return Recipe("r", "R", "config.json", config, Layers(0, config["num_hidden_layers"]))


@pytest.mark.parametrize("family", FAMILIES)
def test_sound_counts_are_left_alone(family: str) -> None:
    make_runnable(mixture(family))


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        (
            "mixtral",
            {"num_experts_per_tok": 9},
            "num_experts_per_tok: must be between 1 and num_experts, 8, got 9",
        ),
        ("qwen3_moe", {"num_experts_per_tok": 0}, "num_experts_per_tok: must be between 1 and num_experts, 8"),
        (
            "deepseek_v2",
            {"num_experts_per_tok": None},
            "num_experts_per_tok: must be between 1 and n_routed_experts, 8",
        ),
        ("deepseek_v3", {"num_experts_per_tok": -3}, "num_experts_per_tok: must be between 1 and n_routed_experts, 8"),
        ("deepseek_v3", {"n_group": 3}, "n_group: must divide n_routed_experts, 8, got 3"),
        ("deepseek_v3", {"n_group": 0}, "n_group: must divide n_routed_experts, 8, got 0"),
        ("glm4_moe", {"n_group": -1}, "n_group: must divide n_routed_experts, 8, got -1"),
        ("deepseek_v3", {"n_group": 8}, "n_group: must leave two experts in a group, of n_routed_experts, 8"),
        ("deepseek_v3", {"topk_group": 5}, "topk_group: must be between 1 and n_group, 4, got 5"),
        ("deepseek_v2", {"topk_group": 0}, "topk_group: must be between 1 and n_group, 4, got 0"),
        ("deepseek_v2", {"topk_method": "all"}, "topk_method: must be greedy or group_limited_greedy, got 'all'"),
    ],
)
def test_counts_that_contradict_each_other_are_told(family: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        make_runnable(mixture(family, **changes))
    assert str(error.value).startswith(f"config.json: {said}")


def test_groups_that_are_not_used_don_t_count() -> None:
    make_runnable(mixture("deepseek_v2", topk_method="greedy", n_group=3))
    make_runnable(mixture("deepseek_v2", n_group=8))


def test_layers_that_are_left_out_don_t_count() -> None:
    recipe = mixture("deepseek_v3", n_group=3)
    dense = Recipe(recipe.name, recipe.title, recipe.origin, recipe.config, Layers(0, 1))
    make_runnable(dense)
