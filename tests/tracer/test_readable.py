"""Modules of strangers: what they return, in whichever thread, never ends a run that ends well without us."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tracetui
from tests.hooks_left import hooks_left


class Refusing(torch.Tensor):
    """A tensor whose own code fails."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError


def nested(x: torch.Tensor) -> torch.Tensor:
    return torch.nested.nested_tensor([x[0], x[1, :2]])


def quantised(x: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)


class Odd(nn.Module):
    def __init__(self, makes: Any) -> None:
        super().__init__()
        self.first, self.odd = nn.Linear(4, 4), Makes(makes)

    def forward(self, x: torch.Tensor) -> tuple[Any, torch.Tensor]:
        y = self.first(x)
        return self.odd(y), y + 1


class Makes(nn.Module):
    def __init__(self, makes: Any) -> None:
        super().__init__()
        self.makes = makes

    def forward(self, x: torch.Tensor) -> Any:
        return self.makes(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("makes", "told"),
    [
        (torch.Tensor.to_sparse, "is sparse"),
        (quantised, "is quantised"),
        (nested, "is nested"),
        (lambda x: x.to("meta"), "is on the device meta"),
        (lambda x: x.as_subclass(Refusing), "doesn't let itself be looked at"),
    ],
)
def test_a_tensor_without_numbers_is_left_out_and_told(makes: Any, told: str) -> None:
    trace = tracetui.trace(Odd(makes), torch.ones(2, 4), stops="norm > 0", edits="*#0: scale 2")
    assert list(trace) == ["first", "output#1"]
    assert f"odd: {told}, and is not recorded" in trace.run.notes
    with torch.no_grad(), tracetui.stops("inf"):
        Odd(makes)(torch.ones(2, 4))


def test_a_transform_of_torch_func_goes_its_way() -> None:
    model = Odd(torch.relu)
    with tracetui.stops("nan"):
        torch.func.vmap(model)(torch.ones(2, 4))


class Threaded(nn.Module):
    """Has its parts work in threads."""

    def __init__(self) -> None:
        super().__init__()
        self.part, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: list[torch.Tensor] = []
        threads = [threading.Thread(target=lambda: found.append(self.part(x))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.last(torch.stack(found).sum(0))  # type: ignore[no-any-return]


def test_threads_of_the_models_own_work_on_and_are_told_of() -> None:
    model = Threaded()
    trace = tracetui.trace(model, torch.ones(2, 4))
    assert list(trace) == ["last:input", "last", "output"]
    assert "what modules do in threads of the model's own is not recorded" in trace.run.notes
    with torch.no_grad():
        np.testing.assert_array_equal(trace["output"], model(torch.ones(2, 4)).numpy())


def test_stops_of_two_threads_over_one_model_are_each_threads_own() -> None:
    model, left = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), []

    def calls(value: float) -> None:
        try:
            with tracetui.stops("nan"):
                for _ in range(50):
                    model(torch.full((2, 4), value))
        except tracetui.StopHit:
            left.append(value)

    threads = [threading.Thread(target=calls, args=(value,)) for value in (1.0, torch.nan, 2.0, torch.nan)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(left) == 2
    assert all(np.isnan(left))
    assert not hooks_left(model)
