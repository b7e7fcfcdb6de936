"""What a module returns is recorded and edited in whatever it is wrapped, or a note says what isn't."""

from __future__ import annotations

from collections import defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tracetui
from tracetui.tracer.capture.outputs import tensors_in, unseen, with_others

Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Plain:
    states: torch.Tensor
    name: str
    more: Any = None


@dataclass(frozen=True, slots=True)
class Frozen:
    states: torch.Tensor


class Own:
    """No container: a class of the model's own."""

    def __init__(self, states: torch.Tensor) -> None:
        self.states = states


class Returns(nn.Module):
    def __init__(self, wrap: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.linear, self.wrap = nn.Linear(2, 2), wrap

    def forward(self, x: torch.Tensor) -> Any:
        return self.wrap(self.linear(x))


class Around(nn.Module):
    """A module around it, so that it isn't the model's own output."""

    def __init__(self, wrap: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.inner = Returns(wrap)
        self.got: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.got = self.inner(x)
        return x


def as_defaultdict(y: torch.Tensor) -> Any:
    made: defaultdict[str, list[torch.Tensor]] = defaultdict(list)
    made["all"].append(y + 1)
    return made


FORMS: dict[str, tuple[Callable[[torch.Tensor], Any], list[float]]] = {
    "dataclass": (lambda y: Plain(y + 1, "n", more=[y + 2]), [1, 2]),
    "frozen dataclass with slots": (lambda y: Frozen(y + 1), [1]),
    "list in a dict": (lambda y: {"all": [y + 1, y + 2], "one": y + 3, "n": 1}, [3, 1, 2]),
    "tuple in a tuple": (lambda y: (y + 1, (y + 2, (y + 3,)), y + 4, None), [1, 4, 2, 3]),
    "dict in a dataclass in a list": (lambda y: [Plain(y + 1, "n", {"deep": y + 2})], [1, 2]),
    "named tuple": (lambda y: Pair(y + 1, Pair(y + 2, y + 3)), [1, 2, 3]),
    "dict of lists": (as_defaultdict, [1]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_tensor_is_recorded_and_can_be_edited(form: str) -> None:
    wrap, added = FORMS[form]
    model = Around(wrap)
    trace = tracetui.trace(model, torch.ones(1, 2))
    assert not trace.run.notes
    sites = ["inner", *(f"inner#{number}" for number in range(1, len(added)))]
    for site, more in zip(sites, added, strict=True):
        np.testing.assert_allclose(trace[site], trace["inner.linear"] + more)
    assert f"inner#{len(added)}" not in trace

    tracetui.trace(model, torch.ones(1, 2), edits=[f"{sites[-1]}: zero"])
    values = list(tensors_in(model.got, whole=True))
    assert [bool(value.any()) for value in values] == [True] * (len(added) - 1) + [False]
    assert type(model.got) is type(wrap(torch.ones(1, 2)))


def test_what_was_returned_stays_as_it_is() -> None:
    output = {"all": [torch.ones(1)], "pair": Pair(torch.ones(1), 3)}
    changed = with_others(output, {0: torch.zeros(1), 1: torch.zeros(1)}, whole=True)
    assert [float(value) for value in tensors_in(output, whole=True)] == [1, 1]
    assert [float(value) for value in tensors_in(changed, whole=True)] == [0, 0]
    assert changed["pair"].second == 3


def test_the_tensors_of_a_class_of_the_model_s_own_are_named() -> None:
    trace = tracetui.trace(Around(lambda y: (y, [Own(y)])), torch.ones(1, 2))
    assert trace.run.notes == ("inner: of what it returns, states of Own is not recorded",)
    assert unseen((torch.ones(1), [Plain(torch.ones(1), "n")], {}, 3, "text")) == ""


def test_a_dict_that_holds_itself_is_looked_into_once() -> None:
    output: dict[str, Any] = {"states": torch.ones(1)}
    output["self"] = output
    assert len(list(tensors_in(output, whole=True))) == 1
    assert unseen(output) == ""


def test_what_lies_too_deep_is_told() -> None:
    deep: Any = torch.ones(1)
    for _ in range(40):
        deep = [deep]
    assert not list(tensors_in(deep, whole=True))
    assert "containers deep" in unseen(deep)


class Slotted(Own):
    __slots__ = ("values",)

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    @property
    def computed(self) -> torch.Tensor:
        raise AssertionError("is asked for what it computes")


OTHERS: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "slots": (Slotted, "values of Slotted"),
    "list in a class of its own": (lambda y: SimpleNamespace(n=1, all=[y]), "all of SimpleNamespace"),
    "set": (lambda y: {y}, "what lies in a set"),
    "frozen set": (lambda y: (y, frozenset([y])), "what lies in a frozenset"),
    "deque": (lambda y: deque([y]), "what lies in a deque"),
    "generator": (lambda y: (each for each in [y]), "what a generator gives when it is asked"),
    "iterator": (lambda y: iter([y]), "what a list_iterator gives when it is asked"),
}


@pytest.mark.parametrize("form", OTHERS)
def test_what_no_container_holds_is_named(form: str) -> None:
    wrap, named = OTHERS[form]
    trace = tracetui.trace(Around(wrap), torch.ones(1, 2))
    assert trace.run.notes == (f"inner: of what it returns, {named} is not recorded",)


@pytest.mark.parametrize("output", [set(), {1}, deque(["a"]), SimpleNamespace(n=1, all=[1]), range(3), "text"])
def test_what_holds_no_tensor_is_not_named(output: Any) -> None:
    assert unseen(output) == ""
