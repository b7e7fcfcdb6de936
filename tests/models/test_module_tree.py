"""A model that stays as it is built is looked at once; whatever is done to how it is built is noticed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.tracer.models import prompt, tiny_llama
from tests.tracer.tiers import differences, recorded
from tracetui.errors import InputError
from tracetui.models.module_tree import known_model
from tracetui.tracer.call import record_call


def test_a_model_that_stays_as_it_is_is_looked_at_once() -> None:
    model = tiny_llama()
    known = known_model(model)
    record_call(model, input_ids=prompt(), use_cache=False)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    model.load_state_dict(model.state_dict())
    assert known_model(model) is known


def test_what_is_known_keeps_no_model_alive() -> None:
    model = tiny_llama()
    model.own_parent = [model]
    record_call(model, input_ids=prompt(), use_cache=False)
    living = weakref.ref(model)
    del model
    gc.collect()
    assert living() is None


class Shifts(nn.Module):
    """Stands in for a norm."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states + 1


def add(model: Any) -> None:
    model.model.layers[0].mlp.act_fn = nn.Sequential(nn.SiLU(), Shifts())


def remove(model: Any) -> None:
    del model.model.layers[1]


def swap(model: Any) -> None:
    model.model.layers[0], model.model.layers[1] = model.model.layers[1], model.model.layers[0]


def replace_a_norm(model: Any) -> None:
    model.model.layers[1].input_layernorm = Shifts()


def give_it_a_bias(model: Any) -> None:
    model.model.layers[0].self_attn.o_proj.bias = nn.Parameter(torch.full((32,), torch.nan))


def load(model: Any) -> None:
    model.load_state_dict(tiny_llama().state_dict(), assign=True)


def change_the_class(model: Any) -> None:
    model.model.norm.__class__ = type("Other", (type(model.model.norm),), {})


def change_the_kernel(model: Any) -> None:
    model.config._attn_implementation = "eager"


def change_the_forward(model: Any) -> None:
    norm = model.model.norm
    norm.forward = lambda hidden_states: hidden_states * 2


CHANGES = [
    *(add, remove, swap, replace_a_norm, give_it_a_bias, load),
    *(change_the_class, change_the_kernel, change_the_forward),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_done_to_a_model_between_two_calls_is_seen(change: Callable[[Any], None]) -> None:
    model, other = tiny_llama(), tiny_llama()
    inputs = {"input_ids": prompt(), "use_cache": False}
    recorded(model, inputs, later=True)
    change(model)
    again = recorded(model, inputs, later=True)
    change(other)
    assert not list(differences(recorded(other, inputs, later=False), again))
    assert again[0].outline == recorded(other, inputs, later=False)[0].outline
    assert again[0].run.config == recorded(other, inputs, later=False)[0].run.config


def test_weights_that_went_to_meta_are_refused() -> None:
    model = tiny_llama()
    record_call(model, input_ids=prompt(), use_cache=False)
    model.to("meta")
    with pytest.raises(InputError, match="is on the device meta"):
        record_call(model, input_ids=prompt(), use_cache=False)


def test_a_changed_configuration_is_told_as_it_is() -> None:
    model = tiny_llama()
    before = record_call(model, input_ids=prompt(), use_cache=False)
    model.config.rope_parameters["rope_theta"] = 12345.0
    model.config.own = {"deep": [1]}
    after = record_call(model, input_ids=prompt(), use_cache=False)
    model.config.own["deep"].append(2)
    last = record_call(model, input_ids=prompt(), use_cache=False)
    assert "own" not in before.run.config
    assert after.run.config["own"] == {"deep": [1]}
    assert last.run.config["own"] == {"deep": [1, 2]}
    assert after.run.config["rope_parameters"] != before.run.config["rope_parameters"]
