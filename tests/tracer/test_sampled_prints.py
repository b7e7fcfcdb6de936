"""What a trace of a program's own model remembers of its weights: samples, taken before it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from tests.tracer.models import prompt, tiny_llama
from tests.tracer.test_weight_prints import told
from tracetui.models.weights.weight_prints import print_of
from tracetui.recording.npz.reader import read_trace
from tracetui.recording.npz.writer import write_trace
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_call

UP = "model.layers.1.mlp.up_proj"


def recorded(model: nn.Module) -> Trace:
    return record_call(model, prompt())


@pytest.fixture
def llama() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture(scope="module")
def reference() -> Trace:
    return recorded(tiny_llama())


def test_each_parameter_is_remembered_once_by_the_elements_that_files_remember(
    llama: LlamaForCausalLM, reference: Trace, tmp_path: Path
) -> None:
    own = dict(llama.named_parameters())
    assert reference.weights.keys() == own.keys()
    for name, weight in own.items():
        assert reference.weights[name].sample == print_of(weight, "").sample
        assert reference.weights[name].digest == ""
    write_trace(reference, tmp_path / "t.npz")
    assert dict(read_trace(tmp_path / "t.npz").weights) == dict(reference.weights)


def test_another_weight_is_named_before_the_operation_that_computes_with_it(
    llama: LlamaForCausalLM, reference: Trace
) -> None:
    # `data` tells nobody that it was changed.
    llama.get_submodule(UP).weight.data.mul_(1.01)
    found, text = told(recorded(llama), reference)
    assert [pair.name for pair in found.comparison.weights.pairs] == [f"{UP}.weight"]
    assert f"{UP}.weight 0.01" in text
    assert f"first at {UP}, whose inputs agree and whose weight differs (about 0.01 of B's)" in text


def test_equal_weights_are_not_mentioned_and_a_fault_beside_them_stays_one(
    llama: LlamaForCausalLM, reference: Trace
) -> None:
    assert "remember" not in told(recorded(llama), reference)[1]
    llama.get_submodule("model.layers.1.post_attention_layernorm").variance_epsilon = 0.1
    found, text = told(recorded(llama), reference)
    assert "remember" not in text
    assert found.at_fault
    assert found.comparison.weights.compared == len(reference.weights)


class Transposed(nn.Module):
    """A matrix stored the other way round than nn.Linear does."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().t().contiguous())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


class Feed(nn.Module):
    """A gated feed-forward of square matrices under any names."""

    def __init__(self, names: tuple[str, str, str], gate: nn.Module, up: nn.Module, down: nn.Module) -> None:
        super().__init__()
        self.names = names
        for name, module in zip(names, (gate, up, down), strict=True):
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up, down = (self.get_submodule(name) for name in self.names)
        made: torch.Tensor = down(torch.nn.functional.silu(gate(x)) * up(x))
        return made


def at(path: str, module: nn.Module) -> nn.Module:
    """A model in which a module lies at a path."""
    for name in reversed(path.split(".")):
        around = nn.Sequential()
        around.add_module(name, module)
        module = around
    return module


def feeds(*, other_up: float = 0.0) -> tuple[Trace, Trace]:
    """A port in Meta's names, whose gate is stored the other way round, beside transformers' names."""
    torch.manual_seed(1)
    gate, up, down = (nn.Linear(16, 16, bias=False) for _ in range(3))
    x = torch.randn(1, 5, 16)
    reference = record_call(at("model.layers.0.mlp", Feed(("gate_proj", "up_proj", "down_proj"), gate, up, down)), x)
    mine = nn.Linear(16, 16, bias=False)
    mine.weight.data = up.weight.detach() * (1 + other_up)
    port = at("layers.0.feed_forward", Feed(("w1", "w3", "w2"), Transposed(gate), mine, down))
    return record_call(port, x), reference


def test_a_port_s_own_names_are_matched_by_what_its_modules_are() -> None:
    found, text = told(*feeds(other_up=0.01))
    (pair,) = found.comparison.weights.pairs
    assert (pair.name, pair.name_b) == ("layers.0.feed_forward.w3.weight", "model.layers.0.mlp.up_proj.weight")
    assert "layers.0.feed_forward.w3.weight (model.layers.0.mlp.up_proj.weight in B) 0.01" in text
    assert "whose inputs agree and whose weight differs (about 0.01 of B's)" in text


def test_a_matrix_stored_otherwise_is_no_other_weight_where_it_computes_the_same() -> None:
    found, text = told(*feeds())
    assert found.comparison.same
    assert found.comparison.weights.compared == 3
    assert "remember" not in text
