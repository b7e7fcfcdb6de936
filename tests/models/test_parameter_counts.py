"""How many parameters a model has, and how many a token uses, against a count of its own modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.families.configs import tiny_config
from tracetui.models.build import build_model
from tracetui.models.outline import outline_of
from tracetui.models.structure import read_structure
from tracetui.recipe import load_recipe

_EXPERTS, _CHOSEN = 8, 2


@pytest.mark.parametrize(
    ("family", "mixture"),
    [("zamba", False), ("zamba2", False), ("doge", False), ("jetmoe", True), ("granitemoe", True), ("mixtral", True)],
)
def test_all_and_active_parameters_are_those_of_the_modules(family: str, mixture: bool, tmp_path: Path) -> None:
    """Zamba's blocks share a layer, JetMoE's and Granite's experts are matrices beside the router, Doge has none."""
    tiny_config(family).save_pretrained(tmp_path)
    recipe = load_recipe(str(tmp_path))
    built = build_model(recipe, torch.bfloat16)
    every = list(dict(built.module.named_parameters()).values())
    experts = sum(each.numel() for each in every if mixture and each.dim() == 3 and each.shape[0] == _EXPERTS)
    total = sum(each.numel() for each in every)
    active = total - experts // _EXPERTS * (_EXPERTS - _CHOSEN)
    structure, tree = read_structure(recipe), outline_of(recipe, built)
    assert (structure.parameters, structure.active) == (total, active)
    assert (tree.parameters, tree.parameters if tree.active is None else tree.active) == (total, active)
