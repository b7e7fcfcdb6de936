"""The residual stream after attention is found by what is added up, and only where it is the stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    DogeConfig,
    DogeForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
    OPTConfig,
    OPTForCausalLM,
)

import tracetui
from tests.tracer.models import SIZES, prompt, seeded, tiny_llama
from tracetui.tracer.residual.module_facts import ModuleFacts
from tracetui.tracer.residual.stream import ResidualStream

GPT = {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "afn": "relu"}
OPT = {"vocab_size": 61, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
NEOX = {**OPT, "intermediate_size": 48, "use_parallel_residual": True}
ROWS = prompt() % 61


def traced(model_class: Any, config: Any) -> tracetui.Trace:
    return tracetui.trace(seeded(model_class, config), input_ids=ROWS)


def test_a_stream_that_enters_no_norm_is_found_where_it_enters_the_mlp() -> None:
    trace = traced(Olmo2ForCausalLM, Olmo2Config(**SIZES))
    for layer in ("model.layers.0", "model.layers.1"):
        after = trace[f"{layer}:input"] + trace[f"{layer}.post_attention_layernorm"]
        np.testing.assert_array_equal(trace[f"{layer}:attn_residual"], after)
        np.testing.assert_array_equal(after + trace[f"{layer}.post_feedforward_layernorm"], trace[layer])


@pytest.mark.parametrize("before", [True, False])
def test_a_norm_that_a_layer_begins_without_makes_the_stream_anew(before: bool) -> None:
    trace = traced(OPTForCausalLM, OPTConfig(**OPT, do_layer_norm_before=before, word_embed_proj_dim=32))
    layer = "model.decoder.layers.1"
    added = trace[f"{layer}:input"] + trace[f"{layer}.self_attn"]
    stream = trace[f"{layer}:attn_residual"]
    np.testing.assert_array_equal(stream, added if before else trace[f"{layer}.self_attn_layer_norm"])
    fc2 = trace[f"{layer}.fc2"].reshape(stream.shape)
    behind = trace[layer] if before else trace[f"{layer}.final_layer_norm:input"]
    np.testing.assert_allclose(stream + fc2, behind, rtol=1e-6, atol=1e-6)


def test_the_norm_behind_attention_is_the_streams_in_models_that_normalise_sums() -> None:
    trace = traced(OpenAIGPTLMHeadModel, OpenAIGPTConfig(**GPT))
    np.testing.assert_array_equal(trace["transformer.h.0:attn_residual"], trace["transformer.h.0.ln_1"])


def test_a_factor_that_is_the_layers_own_parameter_may_scale_the_stream() -> None:
    config = DogeConfig(**SIZES)
    model = seeded(DogeForCausalLM, config)
    trace = tracetui.trace(model, input_ids=ROWS)
    factor = model.model.layers[0].input_residual.detach().numpy()  # [D]
    after = factor * trace["model.layers.0:input"] + trace["model.layers.0.self_attn"]
    np.testing.assert_allclose(trace["model.layers.0:attn_residual"], after, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("model_class", "config"),
    [(CohereForCausalLM, CohereConfig(**SIZES)), (GPTNeoXForCausalLM, GPTNeoXConfig(**NEOX))],
    ids=["cohere", "gpt_neox"],
)
@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_layers_that_add_both_at_once_have_no_stream_between(model_class: Any, config: Any, tokens: int) -> None:
    trace = tracetui.trace(seeded(model_class, config), input_ids=ROWS[:1, :tokens])
    assert not [record for record in trace.records if record.role == "attn_residual"]
    assert [point.label for point in trace.residual()] == ["embed", "0", "1"]


def test_the_stream_is_found_though_an_edit_leaves_nothing_of_attention() -> None:
    trace = tracetui.trace(tiny_llama(), input_ids=ROWS, edits="layers.0.self_attn: zero")
    np.testing.assert_array_equal(trace["model.layers.0:attn_residual"], trace["model.layers.0:input"])


def test_the_stream_is_found_where_it_is_no_number() -> None:
    model = tiny_llama()
    torch.nn.init.constant_(model.model.layers[0].self_attn.o_proj.weight, float("nan"))
    trace = tracetui.trace(model, input_ids=ROWS)
    assert np.isnan(trace["model.layers.0:attn_residual"]).all()


class Layer(nn.Module):
    """Attention and an MLP, each a matrix; where the second norm stands differs from layer to layer."""

    def __init__(self, before: bool) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(32), nn.Linear(32, 32)
        self.norm2, self.mlp = nn.LayerNorm(32), nn.Linear(32, 32)
        self.before = before

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [B,T,D]"""
        self.stream: torch.Tensor = hidden + 0.5 * self.attention(self.norm1(hidden))
        behind: torch.Tensor = self.mlp(self.norm2(self.stream)) if self.before else self.norm2(self.mlp(self.stream))
        summed: torch.Tensor = self.stream + 0.5 * behind
        return summed


class NormOfTheSum(nn.Module):
    """The norm of what it adds up, which is no stream."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(32) + 0.5)

    def forward(self, added: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """added, hidden [B,T,D]"""
        return nn.functional.rms_norm(added + hidden, (32,), self.weight)


class Parallel(nn.Module):
    """Both add to the stream at once; the second is also given the norm of the first and of what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(32), nn.Linear(32, 32)
        self.join, self.mlp = NormOfTheSum(), nn.Linear(32, 32)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [B,T,D]"""
        attended = self.attention(self.norm1(hidden))
        summed: torch.Tensor = hidden + attended + self.mlp(self.join(attended, hidden))
        return summed


class Stack(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [B,T,D]"""
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class Streams(nn.Module):
    """Four streams, to each of which attention and the MLP add, mixed by weights of each token."""

    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.weights, self.attention = nn.Linear(32, 20), nn.Linear(32, 32)
        self.read, self.mlp = nn.Identity(), nn.Linear(32, 32)
        self.flat = flat

    def added(self, streams: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        """streams [B,T,4,D], made [B,T,D]"""
        mixing, factors = self.weights(made).split((16, 4), dim=-1)  # [B,T,16] [B,T,4]
        mixed: torch.Tensor = mixing.reshape(*streams.shape[:2], 4, 4) @ streams  # [B,T,4,D]
        summed: torch.Tensor = mixed + factors[..., None] * made[..., None, :]
        return summed

    def forward(self, streams: torch.Tensor) -> torch.Tensor:
        """streams [B,T,4,D], or [B,T,4·D]"""
        stack = streams.reshape(*streams.shape[:2], 4, 32)
        after = self.added(stack, self.attention(stack.mean(-2)))
        self.stream = after.flatten(-2) if self.flat else after
        read = self.read(self.stream).reshape(after.shape).mean(-2)
        made = self.added(after, self.mlp(read))
        return made.flatten(-2) if self.flat else made


class Mixture(nn.Module):
    """Attention and the MLP read and add to a mixture of four streams, which go on behind each other."""

    def __init__(self) -> None:
        super().__init__()
        self.weights, self.norm1, self.attention = nn.Linear(32, 4), nn.LayerNorm(32), nn.Linear(32, 32)
        self.norm2, self.mlp = nn.LayerNorm(32), nn.Linear(32, 32)

    def forward(self, streams: torch.Tensor) -> torch.Tensor:
        """streams [4,B,T,D]"""
        mixed = torch.einsum("nbtd,btn->btd", streams, self.weights(streams[0]))
        self.stream = (mixed + self.attention(self.norm1(mixed))) / 2
        summed: torch.Tensor = streams + self.stream + self.mlp(self.norm2(self.stream))
        return summed


class Anew(nn.Module):
    """What attention returned is the stream from there on; what came in goes elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(32), nn.Linear(32, 32)
        self.norm2, self.mlp = nn.LayerNorm(32), nn.Linear(32, 32)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [B,T,D]"""
        self.stream = self.attention(self.norm1(hidden))
        summed: torch.Tensor = self.stream + self.mlp(self.norm2(self.stream))
        return summed


class Weighed(nn.Module):
    """A mixture of a stack and of one tensor more, weighed token by token."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(32, 2)

    def forward(self, stack: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """stack [B,T,1,D], other [B,T,D]"""
        both = torch.cat([stack, other[..., None, :]], -2)
        return torch.einsum("btnd,btn->btd", both, self.weights(other))


class Reading(nn.Module):
    """Attention and the MLP read mixtures with what came in; attention adds to the stream or begins it anew."""

    def __init__(self, anew: bool) -> None:
        super().__init__()
        self.norm0, self.read1, self.norm1 = nn.LayerNorm(32), Weighed(), nn.LayerNorm(32)
        self.attention, self.read2, self.norm2 = nn.Linear(32, 32), Weighed(), nn.LayerNorm(32)
        self.mlp, self.anew = nn.Linear(32, 32), anew

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [B,T,D]"""
        entering = self.read1(hidden[..., None, :], self.norm0(hidden))
        attended = self.attention(self.norm1(entering))
        self.stream = attended if self.anew else hidden + attended
        summed: torch.Tensor = self.stream + self.mlp(self.norm2(self.read2(hidden[..., None, :], self.stream)))
        return summed


class PromptThenToken(Stack):
    """Runs the prompt, then one token more."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [B,T,D]"""
        return super().forward(super().forward(hidden)[:, -1:])


class Scaled(nn.Module):
    """A sum in which each channel has a factor and an offset."""

    def __init__(self) -> None:
        super().__init__()
        self.factor, self.offset = nn.Parameter(torch.rand(32) + 0.5), nn.Parameter(torch.rand(32))
        self.own = nn.Parameter(torch.rand(32) + 0.5)

    def forward(self, added: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """added, hidden [B,T,D]"""
        return added * self.own + (hidden + self.offset) * self.factor


class ScaledLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention, self.join = nn.LayerNorm(32), nn.Linear(32, 32), Scaled()
        self.norm2, self.mlp = nn.LayerNorm(32), nn.Linear(32, 32)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [B,T,D]"""
        self.stream = self.join(self.attention(self.norm1(hidden)), hidden)
        summed: torch.Tensor = self.stream + self.mlp(self.norm2(self.stream))
        return summed


def traced_stack(*layers: nn.Module, shape: tuple[int, ...] = (1, 5, 32)) -> tracetui.Trace:
    torch.manual_seed(1)
    return tracetui.trace(Stack(*layers), torch.randn(shape))


@pytest.mark.parametrize("before", [(True, False, True), (False, True, True), (True, True, False)])
@pytest.mark.parametrize("tokens", [1, 5])
def test_layers_of_one_class_may_go_on_at_different_places(before: tuple[bool, ...], tokens: int) -> None:
    layers = [Layer(each) for each in before]
    trace = traced_stack(*layers, shape=(1, tokens, 32))
    for index, layer in enumerate(layers):
        np.testing.assert_array_equal(trace[f"layers.{index}:attn_residual"], layer.stream.detach().numpy())
    labels = [label for index in range(3) for label in (f"{index} attn", str(index))]
    assert [point.label for point in trace.residual()] == ["embed", *labels]


@pytest.mark.parametrize("tokens", [1, 2, 5])
def test_the_norm_of_a_sum_is_no_stream(tokens: int) -> None:
    trace = traced_stack(Parallel(), Parallel(), shape=(1, tokens, 32))
    assert [point.label for point in trace.residual()] == ["embed", "0", "1"]


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ((Streams(flat=False), Streams(flat=False)), (1, 5, 4, 32)),
        ((Streams(flat=True), Streams(flat=True)), (2, 1, 128)),
        ((Mixture(), Mixture()), (4, 2, 3, 32)),
        ((Mixture(), Mixture()), (4, 1, 1, 32)),
        ((Anew(), Layer(before=True)), (2, 3, 32)),
        ((ScaledLayer(), ScaledLayer()), (1, 5, 32)),
    ],
    ids=["streams", "streams side by side", "mixture", "mixture of one token", "anew", "scaled"],
)
def test_streams_that_are_several_begin_anew_or_are_scaled(
    layers: tuple[nn.Module, ...], shape: tuple[int, ...]
) -> None:
    trace = traced_stack(*layers, shape=shape)
    for index, layer in enumerate(layers):
        assert isinstance(layer.stream, torch.Tensor)
        np.testing.assert_array_equal(trace[f"layers.{index}:attn_residual"], layer.stream.detach().numpy())
    assert [point.label for point in trace.residual()] == ["embed", "0 attn", "0", "1 attn", "1"]


@pytest.mark.parametrize("anew", [True, False])
def test_one_token_has_its_stream_where_several_had_it(anew: bool) -> None:
    """Of one token alone a mixture weighed by token is a sum like any other."""
    layer = Reading(anew)
    torch.manual_seed(1)
    trace = tracetui.trace(PromptThenToken(layer), torch.randn(1, 5, 32))
    np.testing.assert_array_equal(trace["layers.0:attn_residual@0.1"], layer.stream.detach().numpy())


@pytest.mark.parametrize("before", [True, False])
def test_what_is_added_may_be_small_beside_the_largest_channel(before: bool) -> None:
    layers = [Layer(before).bfloat16(), Layer(before).bfloat16()]
    torch.manual_seed(1)
    hidden = 10 * torch.randn(1, 6, 32)
    hidden[..., 5] *= 1000
    trace = tracetui.trace(Stack(*layers), hidden.bfloat16())
    for index, layer in enumerate(layers):
        values = layer.stream.detach().float().numpy()
        np.testing.assert_array_equal(trace[f"layers.{index}:attn_residual"], values)


def test_looking_for_the_stream_copies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of a tensor is that of its own copy, which torch makes then if a record shares it."""

    def asked(tensor: torch.Tensor) -> int:
        raise AssertionError("asked for an address")

    monkeypatch.setattr(torch.Tensor, "data_ptr", asked)
    trace = tracetui.trace(tiny_llama(), prompt(), use_cache=False)
    assert trace.recorded.find("model.layers.1:attn_residual") is not None


def test_a_tensor_that_takes_the_place_of_one_that_is_gone_is_looked_at() -> None:
    """torch makes a tensor's object where the last one that was freed lay: the same identity, another tensor."""
    search, layer, path = ResidualStream(), nn.Sequential(), "model.layers.0"
    entered, attended = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    search.begin(path, ModuleFacts.of(path, layer), 0, [entered])
    search.returned(f"{path}.self_attn", ModuleFacts.of("", nn.Identity()), attended, first=True)
    others = torch.randn(1, 4, 8)
    place = id(others)
    assert search.entering(f"{path}.self_attn.o_proj", ModuleFacts.of("", nn.Identity()), [others]) is None
    del others
    sums: list[torch.Tensor] = []
    while not sums or (id(sums[-1]) != place and len(sums) < 1000):
        sums.append(entered + attended)
    assert id(sums[-1]) == place
    found = search.entering(f"{path}.mlp", ModuleFacts.of("", nn.Identity()), [sums[-1]])
    assert found is not None
    assert found.tensor is sums[-1]
