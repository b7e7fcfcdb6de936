"""Models that can't be watched are refused by name, before anything runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import tracetui
from tracetui.errors import InputError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.inner(x))


def compiled_inside() -> nn.Module:
    model = Net()
    model.inner.compile()
    return model


def compiled() -> nn.Module:
    model = torch.compile(Net())
    assert isinstance(model, nn.Module)
    return model


def with_a_compiled_forward() -> nn.Module:
    model = Net()
    model.inner.forward = torch.compile(model.inner.forward)  # type: ignore[method-assign]
    return model


def decorated() -> nn.Module:
    class Decorated(Net):
        @torch.compile
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.inner(x))

    return Decorated()


class LeftOut(Net):
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.inner(x))


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return Net()


def traced_inside() -> nn.Module:
    model = Net()
    model.inner = torch.jit.trace(model.inner, torch.ones(1, 3))  # type: ignore[no-untyped-call]
    return model


MODELS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "traced inside": (traced_inside, "inner: TopLevelTracedModule: is a script module"),
    "lazy": (lambda: nn.LazyLinear(3), "the model: LazyLinear: weight: has no shape yet, as the module is a lazy one"),
    "compiled": (compiled, "the model: OptimizedModule: is compiled by torch.compile"),
    "compiled inside": (compiled_inside, "inner: Sequential: is compiled by torch.compile"),
    "compiled forward": (with_a_compiled_forward, "inner: Sequential: is compiled by torch.compile"),
    "decorated": (decorated, "the model: Decorated: is compiled by torch.compile"),
    "scripted": (lambda: torch.jit.script(Net()), "the model: RecursiveScriptModule: is a script module"),
    "meta": (on_meta, "inner.0: Linear: weight: is on the device meta and has no values"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_what_cannot_be_watched_is_named(name: str) -> None:
    make, problem = MODELS[name]
    model = make()
    with pytest.raises(InputError, match=problem):
        tracetui.trace(model, torch.ones(1, 3))
    with pytest.raises(InputError, match=problem), tracetui.stops("nan"):
        model(torch.ones(1, 3))


def test_what_was_compiled_can_be_traced_itself() -> None:
    model = Net()
    torch.compile(model)
    assert "inner.0" in tracetui.trace(model, torch.ones(1, 3))
    assert "inner.0" in tracetui.trace(LeftOut(), torch.ones(1, 3))


def applied(module: CallsCompiled, x: torch.Tensor) -> torch.Tensor:
    module.compiling = torch.compiler.is_compiling()
    return torch.as_tensor(module.linear(x))


class CallsCompiled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.compiling = nn.Linear(3, 3), False
        self.applied = torch.compile(applied)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.applied(self, x))


def test_functions_that_are_compiled_run_as_they_are_written_while_they_are_watched() -> None:
    """Nothing of a module tells what its forward calls."""
    module = CallsCompiled()
    model = nn.Sequential(module)
    trace = tracetui.trace(model, torch.ones(1, 3))
    assert {"0", "0.linear", "output"} <= {record.site for record in trace.records}
    assert not module.compiling
    with pytest.raises(tracetui.StopHit), tracetui.stops("0.linear"):
        model(torch.ones(1, 3))
    assert not module.compiling
    # What is called afterwards is compiled again.
    assert torch._dynamo.eval_frame._stance.stance == "default"


def test_a_class_is_no_model() -> None:
    with pytest.raises(TypeError, match="is needed, got the class Linear"):
        tracetui.trace(nn.Linear, torch.ones(1, 3))  # type: ignore[call-overload]
