"""Weights are there for whoever reads them, in whatever way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tracetui.errors import RunError
from tracetui.models.weights.placeholder import Placeholder
from tracetui.models.weights.read_elsewhere import read_elsewhere
from tracetui.models.weights.sources import TensorSpec, Tick
from tracetui.models.weights.streaming import Weights
from tracetui.recording.trace import RunInfo, Trace
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.pass_context import Pass

WIDTH = 6


class Drawn:
    """A source of numbers by name, that remembers what was read of it and what it handed out."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str:
        return "file"

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        self.names.append(spec.name)
        seed = sum(map(ord, spec.name))
        whole = torch.randn(spec.shape, generator=torch.Generator().manual_seed(seed), dtype=spec.dtype)
        return whole if rows is None else whole[list(rows)]


class Own(nn.Module):
    """Its parameters are read by others alone, or by a method that isn't its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.scale = nn.Parameter(torch.ones(WIDTH))
        self.register_buffer("shift", torch.zeros(WIDTH))

    def both(self, x: torch.Tensor) -> torch.Tensor:
        """x: [T,D]"""
        return self.first(x) * self.scale + self.shift  # type: ignore[no-any-return]


class Reads(nn.Module):
    """Reads weights in every way that is known of a real model, and then some."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, WIDTH)
        self.positions = nn.Embedding(9, WIDTH, padding_idx=8)
        self.own = Own()
        self.listed = nn.ParameterList([nn.Parameter(torch.ones(WIDTH)) for _ in range(2)])
        self.named = nn.ParameterDict({"a": nn.Parameter(torch.ones(WIDTH))})
        self.conv = nn.Conv1d(WIDTH, WIDTH, 1)
        self.holder = nn.Module()
        self.holder.bare = nn.Parameter(torch.ones(WIDTH, WIDTH))
        self.hidden = [self.holder.bare]
        self.called = nn.Linear(WIDTH, WIDTH, bias=False)
        self.head = nn.Linear(WIDTH, 9, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids: [T] → [T,V]"""
        x = self.table(ids) + self.positions.weight[: len(ids)] + self.positions(ids)  # [T,D]
        x = self.own.both(x)  # [T,D]
        x = functional.linear(x, self.own.first.weight.to(x.dtype), None) * self.listed[0] + sum(self.listed[1:])
        x = x @ self.holder.bare.T + self.named["a"].data  # [T,D]
        x = x + torch.cat([self.hidden[0], self.hidden[0]])[: len(ids)]  # [T,D]
        x = functional.conv1d(x.T[None], self.conv.weight, self.conv.bias)[0].T  # [T,D]
        x = self.called.forward(x) + torch.stack(list(self.called.weight)).sum(0)  # [T,D]
        return self.head(x) + functional.linear(x, self.table.weight)  # type: ignore[no-any-return]


IDS = torch.tensor([3, 0, 3, 8])


def streamed(kind: Callable[[], nn.Module], budget: int = 0) -> tuple[nn.Module, Weights, Drawn]:
    with torch.device("meta"):
        model = kind()
    source = Drawn()
    return model, Weights(model, torch.float32, source, budget), source


def traced(model: nn.Module, weights: Weights, *args: Any) -> Trace:
    recorder = Recorder(RunInfo(model="m", config={}, versions={}), (), Gate(waits=False).arrived)
    with torch.no_grad(), ModelHooks(model, Pass(recorder, Editor(recorder), weights=weights)):
        model(*args)
    return recorder.finished(())


def filled(kind: Callable[[], nn.Module]) -> nn.Module:
    """The same model with its weights in memory."""
    model, source = kind(), Drawn()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        tensor.data = source.read(TensorSpec(name, tuple(tensor.shape), tensor.dtype), None, lambda made: None)
    return model


@pytest.mark.parametrize("budget", [0, 200, 2**20])
def test_whoever_reads_a_weight_finds_it(budget: int) -> None:
    with torch.no_grad():
        expected = filled(Reads)(IDS)
    model, weights, _ = streamed(Reads, budget)
    for _ in range(2):
        trace = traced(model, weights, IDS)
        np.testing.assert_array_equal(trace["output"], expected.numpy())
    assert not weights.loans
    there = [tensor for tensor in model.parameters() if not isinstance(tensor, Placeholder)]
    assert sum(tensor.nbytes for tensor in there) <= budget
    assert isinstance(model.get_submodule("table").weight, Placeholder)


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [T,D]"""
        x = functional.linear(x, self.table.weight)  # [T,D]
        return functional.linear(x, self.table.weight)  # [T,D]


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Inner(), Inner()
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [T,D]"""
        first = self.one(x)  # [T,D]
        self.seen = [self.one.table.weight, self.two.table.weight]
        return self.two(first) * self.one.table.weight.sum()  # type: ignore[no-any-return]


def test_what_is_lent_is_made_once_and_goes_with_the_module_that_read_it() -> None:
    model, weights, source = streamed(Outer)
    assert isinstance(model, Outer)
    estimated = weights.largest_passing_bytes
    traced(model, weights, torch.ones(2, WIDTH))
    assert all(isinstance(weight, Placeholder) for weight in model.seen)
    assert source.names == ["one.table.weight", "two.table.weight", "one.table.weight"]
    assert estimated == weights.largest_passing_bytes >= 2 * WIDTH * WIDTH * 4


def test_what_a_run_showed_is_planned_for() -> None:
    """The code names no weight that it reads."""

    class Hides(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x @ child.get_parameter("weight") for child in self]).sum(0)  # [T,D]

    model, weights, _ = streamed(lambda: Hides(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))))
    assert weights.largest_passing_bytes == WIDTH * WIDTH * 4
    traced(model, weights, torch.ones(2, WIDTH))
    assert weights.largest_passing_bytes == 3 * WIDTH * WIDTH * 4


def test_asking_for_a_weights_form_makes_nothing() -> None:
    model, weights, source = streamed(Reads)
    weight = model.get_submodule("own.first").get_parameter("weight")
    assert isinstance(weight, nn.Parameter)
    assert (weight.shape, weight.dtype, weight.device.type, weight.numel()) == (
        (WIDTH, WIDTH),
        torch.float32,
        "cpu",
        36,
    )
    assert (weight.dim(), weight.size(0), weight.stride(), len(weight), weight.nbytes) == (2, 6, (6, 1), 6, 144)
    assert weight.data.dtype == weight.detach().dtype == torch.float32
    assert not weight.is_meta
    assert weight.requires_grad
    assert "own.first.weight" in repr(weight)
    assert not source.names
    assert weight.sum() != 0
    assert source.names == ["own.first.weight"]
    assert weights.largest_passing_bytes


def test_what_cant_be_put_in_place_fails_by_its_name() -> None:
    model, _, _ = streamed(Reads)
    weight = model.get_submodule("own.first").get_parameter("weight")
    with torch._C.DisableTorchFunctionSubclass(), pytest.raises(RunError, match=r"own\.first\.weight: aten.add"):
        torch.add(torch.ones(WIDTH), weight)


def test_a_loan_without_memory_for_it_fails_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.models.weights.streaming.free_bytes", lambda device: 2**20)
    model, _, source = streamed(lambda: nn.Sequential(nn.Linear(2**13, 2**12, bias=False)))
    with pytest.raises(RunError, match=r"0\.weight: is read outside of its module and takes 128"):
        model.get_submodule("0").get_parameter("weight").sum()
    assert not source.names


def _reads_of(model: nn.Module) -> Iterator[str]:
    paths = {module: path for path, module in model.named_modules()}
    for owner, name in read_elsewhere(model):
        yield f"{paths[owner]}.{name}"


def test_what_a_class_reads_elsewhere_is_known_from_its_code() -> None:
    assert list(_reads_of(Reads())) == [
        *("positions.weight", "own.", "own.first.weight", "holder.bare", "conv.weight", "conv.bias"),
        *("called.weight", "table.weight"),
    ]
    assert not list(_reads_of(Own()))
