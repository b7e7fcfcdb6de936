"""Layers that were left out: what stands for them returns, and answers, as they would."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.openai.modeling_openai import Block
from transformers.models.rwkv.modeling_rwkv import RwkvBlock

from tracetui.errors import InputError, RunError
from tracetui.models.pass_through import Form, pass_through, returned_form
from tracetui.recipe import Recipe, load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

IDS = [1, 2, 3]


class Layer(nn.Module):
    """Returns a pair, and has a kind that the model asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = "sliding"
        self.proj = nn.Linear(2, 2)

    def forward(self, hidden_states: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden_states: [T,D]"""
        return self.proj(hidden_states), state


class Counts(Layer):
    """As it returns what it made is told from its code."""

    def forward(self, hidden_states: torch.Tensor, state: torch.Tensor, more: bool = False) -> Any:
        """hidden_states: [T,D]"""
        outputs: tuple[Any, ...] = (hidden_states, state)
        if more:
            outputs += (self.proj(hidden_states),)
        else:
            outputs += (None,)
        return outputs


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (LlamaDecoderLayer, None),
        (Layer, ("", "state")),
        (Counts, ("hidden_states", "state", "")),
        (RwkvBlock, ("hidden", "state", "")),
        (GPT2Block, None),
        (Block, ("h",)),
    ],
)
def test_what_a_layer_returns_is_known_from_its_code(kind: type[nn.Module], form: Form) -> None:
    assert returned_form(kind) == form


def test_it_hands_on_what_came_in_and_answers_for_the_layer() -> None:
    layer = pass_through("layers.0", Layer())
    hidden, state = torch.ones(3, 2), torch.zeros(2)
    assert layer(hidden, state=state)[0] is hidden
    assert layer(hidden, state=state)[1] is state
    assert (layer.kind, layer.proj.weight.dtype) == ("sliding", torch.float32)
    assert not hasattr(layer, "missing")
    assert not list(layer.parameters())


def test_its_weights_fail_by_their_name() -> None:
    layer = pass_through("layers.0", Layer())
    with pytest.raises(RunError, match=r"layers\.0\.proj\.weight: the model reads it, and its layer was left out"):
        layer.proj(torch.ones(3, 2))


def of_family(folder: Path, family: str, **fields: Any) -> Recipe:
    path = folder / "config.json"
    path.write_text(json.dumps({"model_type": family, "vocab_size": 61, **fields}))
    return with_options(load_recipe(str(path)), dtype="float32", layers="0:1")


GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}


def test_layers_that_return_lists_can_be_left_out(tmp_path: Path) -> None:
    trace = trace_recipe(of_family(tmp_path, "openai-gpt", **GPT), ids=IDS)
    assert trace["logits"].shape == (1, 3, 61)


def test_a_layer_of_two_streams_hands_on_both(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "attention_head_size": 16, "feed_forward_size": 32}
    of = of_family(
        tmp_path, "reformer", **sizes, attn_layers=["local"] * 2, is_decoder=True, axial_pos_embds=False,
        num_hidden_layers=2,
    )  # fmt: skip
    trace = trace_recipe(of, ids=IDS)
    streams = [trace[f"reformer.encoder.layers.0{part}"] for part in ("#1", "")]  # [1,T,D]
    np.testing.assert_array_equal(trace["reformer.encoder.layer_norm:input"], np.concatenate(streams, axis=-1))


class Named(NamedTuple):
    hidden_states: Any
    probabilities: Any


class MadeAnew(nn.Module):
    """Nothing of what it returns is what it was given."""

    def forward(self, hidden_states: torch.Tensor) -> Any:
        """hidden_states: [T,D]"""
        hidden_states = hidden_states.exp()
        return NamedOutput(hidden_states=hidden_states, probabilities=None)


NamedOutput = Named


def test_a_layer_that_returns_nothing_that_it_was_given_is_refused() -> None:
    with pytest.raises(
        InputError, match="layers: MadeAnew returns a NamedOutput; this family runs with all its layers"
    ):
        pass_through("layers.0", MadeAnew())


def test_a_model_that_relies_on_what_was_left_out_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama.modeling_llama import LlamaModel

    plain = LlamaModel.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        del self.layers[1].absent
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(LlamaModel, "forward", forward)
    of = of_family(tmp_path, "llama", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
    with pytest.raises(InputError, match=r"layers: model relies on those .* this family runs with all its layers only"):
        trace_recipe(replace(of), ids=IDS)
