"""The modules of a model as torch itself lists them."""

from __future__ import annotations

from torch import nn

from tests.tracer.models import tiny_llama
from tracetui.models.module_tree import has_parameters, modules_of


def test_modules_and_their_order_are_those_that_torch_names() -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.ModuleDict({"a": shared, "b": nn.Sequential(nn.ReLU(), nn.Identity())}))
    model.register_module("none", None)
    for each in (model, shared, tiny_llama()):
        assert list(modules_of(each).items()) == list(each.named_modules())


def test_parameters_are_found_at_any_depth() -> None:
    assert has_parameters(nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(2, 2))))
    assert not has_parameters(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3, affine=False)))
