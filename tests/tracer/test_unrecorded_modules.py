"""What no hook hears of is told beside the result: modules made while the model runs, and forwards called directly."""

from __future__ import annotations

import copy
import inspect
import sys
from functools import wraps
from typing import Any

import pytest
import torch
from torch import nn

import tracetui
from tests.tracer.models import tiny_llama
from tracetui.models.module_tree import modules_of
from tracetui.models.recordable.direct_calls import direct_calls
from tracetui.models.recordable.unregistered import unregistered

X = torch.ones(1, 3, 4)
this_file = sys.modules[__name__]


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(4, 4)
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])


class ByAttribute(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj.forward(x)


class ByVariable(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer.forward(x)
        return x


class ByNumber(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers[1].forward(x)
        return out


class InMethod(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.projected(x)

    def projected(self, x: torch.Tensor) -> torch.Tensor:
        return next(self.proj.forward(each) for each in (x,))


def projected(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = module.forward(x)
    return out


def passed_on(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return projected(module, x)


class ByFunction(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return passed_on(self.proj, x)


class ByFunctionOfAFile(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = this_file.projected(self.proj, x)
        return out


def made_by(function: Any) -> type[Parts]:
    class ByCaptured(Parts):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = function(self.proj, x)
            return out

    return ByCaptured


class ByName(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = getattr(self, "proj").forward(x)  # noqa: B009 - as where the name has a number
        return out


class ByClass(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.Linear.forward(self.proj, x)


SHARED = nn.Linear(4, 4)


class OfTheFile(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return SHARED.forward(x)


def decorated(forward: Any) -> Any:
    return wraps(forward)(lambda *args: forward(*args))


class Decorated(Parts):
    @decorated
    @decorated
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj.forward(x)


def first_line(kind: Any) -> int:
    """Of the code that calls a forward."""
    lines, start = inspect.getsourcelines(kind)
    return next(start + n for n, line in enumerate(lines) if ".forward(" in line)


@pytest.mark.parametrize("kind", [ByAttribute, ByVariable, ByNumber, InMethod, ByName, ByClass, OfTheFile, Decorated])
def test_a_forward_that_is_called_directly_is_told(kind: type[Parts]) -> None:
    trace = tracetui.trace(kind(), X)
    place = f"test_unrecorded_modules.py:{first_line(kind)}"
    told = f"{kind.__name__} calls the forward of other modules instead of them ({place}): "
    assert f"{told}what they return to it is not recorded" in trace.run.notes


@pytest.mark.parametrize("kind", [ByFunction, ByFunctionOfAFile, made_by(projected)])
def test_a_forward_that_a_function_calls_is_told_where_it_stands(kind: type[Parts]) -> None:
    (remark,) = direct_calls(modules_of(kind()))
    place = f"test_unrecorded_modules.py:{first_line(projected)}"
    assert remark.startswith(f"{kind.__name__} calls the forward of other modules instead of them ({place}): ")


class Called(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers[0](self.proj(x))
        return out

    def never_called(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj.forward(x)


class OwnKind(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class OldSuper(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super(OldSuper, self).forward(x)  # noqa: UP008


class NamedKind(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.Linear.forward(self, x)


class Itself(Parts):
    def forward(self, x: torch.Tensor, again: bool = True) -> torch.Tensor:
        inspect.signature(self.proj.forward)
        return self.forward(self.proj(x), again=False) if again else x


@pytest.mark.parametrize("model", [Called(), OwnKind(4, 4), OldSuper(4, 4), NamedKind(4, 4), Itself(), tiny_llama()])
def test_nothing_is_told_of_modules_that_are_called(model: nn.Module) -> None:
    assert direct_calls(modules_of(model)) == ()


class Late(Parts):
    """Makes a module in its first call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Sequential(nn.Linear(4, 4))
        out: torch.Tensor = nn.Sequential(nn.Identity())(self.late(x))
        return out


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Late()
        self.before = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # What it had already, set again.
        self.before = self.before
        out: torch.Tensor = self.inner(x)
        return out


def late_notes(trace: Any) -> list[str]:
    return [note for note in trace.run.notes if "was made" in note]


def test_a_module_that_is_made_while_the_model_runs_is_told_and_the_next_call_records_it() -> None:
    model = Around()
    first, second = tracetui.trace(model, X), tracetui.trace(model, X)
    told = "inner.late was made while the model ran: what it returned then is not recorded"
    assert (late_notes(first), "inner.late" in first) == ([told], False)
    assert (late_notes(second), "inner.late.0" in second) == ([], True)


def test_a_module_made_elsewhere_meanwhile_is_none_of_the_models() -> None:
    class Makes(Parts):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            other = Parts()
            other.more = nn.Identity()
            out: torch.Tensor = self.proj(x)
            return out

    trace = tracetui.trace(Makes(), X)
    assert late_notes(trace) == []
    assert not torch.nn.modules.module._global_module_registration_hooks


class Holds(Parts):
    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.proj(x)
        return out


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ([nn.Linear(4, 4), nn.Linear(4, 4)], "held holds 2 modules in a plain list, where torch finds none"),
        ({"a": (nn.Linear(4, 4),)}, "held holds a module in a plain dict, where torch finds none"),
        (nn.Linear(4, 4).forward, "held is the forward of a Linear, of whose calls torch tells nobody"),
    ],
)
def test_modules_that_are_held_where_torch_does_not_know_them_are_told(held: Any, told: str) -> None:
    assert f"{told}: what is computed there is not recorded" in tracetui.trace(Holds(held), X).run.notes


def test_nothing_is_told_of_what_holds_registered_modules_or_none() -> None:
    for model in (Holds([1, "a", {}]), Holds(torch.relu), tiny_llama()):
        assert unregistered(modules_of(model)) == ()
    listed = Holds([])
    listed.held += [listed.proj, *listed.layers]
    assert unregistered(modules_of(listed)) == ()


class Copies(Parts):
    """Runs a copy whose weights are twice its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        twice: Any = copy.deepcopy(self.layers)
        twice[1].weight.mul_(2)
        out: torch.Tensor = twice[1](self.proj(x))
        return out


class CopiesShallow(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = copy.copy(self.proj)(x)
        return out


class MakesAnew(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = nn.Sequential(nn.Linear(4, 4), nn.ReLU())(self.proj(x))
        return out


class CallsAnother(Parts):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = SHARED(self.proj(x))
        return out


def outside_notes(trace: Any) -> list[str]:
    return [note for note in trace.run.notes if "no part of the model" in note]


@pytest.mark.parametrize(
    ("kind", "called", "line"),
    [(Copies, "Linear", 3), (CopiesShallow, "Linear", 1), (MakesAnew, "Sequential", 1), (CallsAnother, "Linear", 1)],
)
@torch.no_grad()
def test_a_call_of_a_module_that_is_no_part_of_the_model_is_told(kind: type[Parts], called: str, line: int) -> None:
    place = f"test_unrecorded_modules.py:{inspect.getsourcelines(kind.forward)[1] + line}"
    told = f"{place} calls a {called} that is no part of the model, as a copy of one, or one made meanwhile"
    assert outside_notes(tracetui.trace(kind(), X)) == [f"{told}: what it returns is not recorded"]
    assert not torch.nn.modules.module._global_forward_pre_hooks
    assert not torch.nn.modules.module._global_parameter_registration_hooks


@torch.no_grad()
def test_a_module_with_hooks_can_be_copied_while_it_is_watched() -> None:
    model = Copies()
    model.layers[1].register_forward_hook(lambda module, args, output: output + 1)
    trace = tracetui.trace(model, X)
    assert torch.equal(torch.tensor(trace["output"]), model(X))
    assert "layers.1" not in trace
    assert len(outside_notes(trace)) == 1


class CopiesNoModule(Parts):
    """Copies what is no module, and makes one that has no weights, and one that it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        copy.deepcopy({"a": [1]})
        self.added = nn.Linear(4, 4)
        out: torch.Tensor = nn.ReLU()(self.added(self.proj(x)))
        return out


def test_nothing_is_told_of_calls_that_are_recorded_or_told_of_by_name() -> None:
    trace = tracetui.trace(CopiesNoModule(), X)
    assert (outside_notes(trace), len(late_notes(trace))) == ([], 1)
    held = Holds([nn.Linear(4, 4)])
    held.forward = lambda x: copy.deepcopy(held.held[0](x))  # type: ignore[method-assign]
    assert outside_notes(tracetui.trace(held, X)) == []
