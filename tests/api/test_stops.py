"""`with tracetui.stops(…)`: whatever module is called, it is left where a stop holds, and nothing stays behind."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_module

import tracetui
from tests.hooks_left import hooks_left
from tests.tracer.models import prompt, tiny_llama


class Broken(nn.Module):
    """Takes the root of what may be negative, and goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.root, self.last = nn.Linear(4, 4), Root(), nn.Linear(4, 4)
        self.went_on = 0
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(4))
            self.first.bias.zero_()

    def forward(self, x: torch.Tensor, *, again: bool = False) -> torch.Tensor:
        if again:
            return self(x)  # type: ignore[no-any-return]
        x = self.root(self.first(x))
        self.went_on += 1
        made: torch.Tensor = self.last(x)
        return made


class Root(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sqrt()


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Broken()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.inner(x)
        return made


@pytest.fixture
def broken() -> Iterator[Broken]:
    """Afterwards no hook is left, on it or on all modules."""
    model = Broken()
    yield model
    assert hooks_left(model) == 0
    assert not torch_module._global_forward_pre_hooks
    assert not torch_module._global_forward_hooks


def bad() -> torch.Tensor:
    """What becomes NaN at row 1, column 2."""
    x = torch.ones(3, 4)
    x[1, 2] = -1
    return x


def test_the_producer_its_elements_and_the_records_before_are_named(broken: Broken) -> None:
    with pytest.raises(tracetui.StopHit) as raised, tracetui.stops("nan"):
        broken(bad())
    assert broken.went_on == 0, "the model is left there"
    held = raised.value
    assert (held.record.key, held.trace.hits) == ("root", held.hits)
    assert isinstance(held, tracetui.RunError)
    assert held.diagnosis is not None
    assert held.diagnosis.elements is not None
    assert held.diagnosis.elements.first[0][0] == (1, 2)
    text = str(held)
    for told in (
        "stop nan: root (step 1): nan = 1",
        "It is made here (step 1): what feeds it is finite (first",
        "[1, 2]",
    ):
        assert told in text
    assert list(held.trace) == ["first", "root"]
    assert "return x.sqrt()" not in text
    where = "".join(traceback.format_exception(held))
    assert "x = self.root(self.first(x))" in where
    assert "another exception" not in where


def test_several_stops_several_calls_and_nested_models(broken: Broken) -> None:
    around = Around()
    around.inner = broken
    with tracetui.stops("*.first if absmax > 5", "inf"):
        around(torch.ones(3, 4))
        around(torch.ones(3, 4) * 4)
        broken(torch.ones(3, 4), again=True)
        assert hooks_left(around) == 0
    message = r"inner\.first \(step 0\): absmax = 6"
    with pytest.raises(tracetui.StopHit, match=message), tracetui.stops("*.first if absmax > 5"):
        around(torch.ones(3, 4) * around(torch.ones(3, 4)).new_tensor(6))
    with pytest.raises(tracetui.StopHit) as raised, tracetui.stops("first"):
        broken(torch.ones(3, 4), again=True)
    assert raised.value.record.key == "first"


def test_with_a_model_the_others_are_left_alone(broken: Broken) -> None:
    other = Broken()
    with tracetui.stops(model=other):
        assert broken(bad()).isnan().any()
        other(torch.ones(3, 4))
    with pytest.raises(tracetui.StopHit), tracetui.stops(model=broken.root):
        broken(bad())


def test_errors_come_through_and_a_call_after_one_is_watched(broken: Broken) -> None:
    with pytest.raises(KeyError, match="mine"), tracetui.stops("nan"):
        then_fail(broken(torch.ones(3, 4)))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), tracetui.stops("nan"):
        broken(torch.ones(3, 5))
    with pytest.raises(tracetui.StopHit), tracetui.stops("nan"):
        broken(bad() if fails(broken) else torch.ones(3, 4))
    with pytest.raises(tracetui.InputError, match="nrom"), tracetui.stops("first if nrom > 1"):
        pytest.fail("it is refused before")
    handle = broken.root.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt), tracetui.stops("nan"):
        broken(torch.ones(3, 4))
    handle.remove()


def then_fail(made: torch.Tensor) -> None:
    raise KeyError("mine")


def fails(model: nn.Module) -> bool:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model(torch.ones(3, 5))
    return True


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_other_threads_go_on_as_ever(broken: Broken) -> None:
    found: list[bool] = []
    with tracetui.stops("nan"):
        thread = threading.Thread(target=lambda: found.append(bool(broken(bad()).isnan().any())))
        thread.start()
        thread.join()
    assert found == [True]


def test_a_transformers_model_keeps_its_numbers_gradients_and_attention() -> None:
    model, ids = tiny_llama(), prompt()
    plain = model(input_ids=ids, use_cache=False).logits
    before = model.config._attn_implementation
    with tracetui.stops("nan", "inf", "layers.1.self_attn:heads if absmax > 1e9"):
        watched = model(input_ids=ids, use_cache=False).logits
    assert torch.equal(plain, watched)
    watched.sum().backward()
    assert model.config._attn_implementation == before
    assert hooks_left(model) == 0
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[3, 5] = torch.nan
    with pytest.raises(tracetui.StopHit) as raised, tracetui.stops():
        model(input_ids=ids, use_cache=False)
    assert raised.value.record.key == "model.layers.1.mlp.down_proj"
    assert len(raised.value.trace.tokens[0]) == ids.shape[1]
    assert "d = 3" in str(raised.value) or "[0, 0, 3] = nan" in str(raised.value)


def test_stops_and_edits_of_a_recorded_module() -> None:
    model, ids = tiny_llama(), prompt()
    plain = tracetui.trace(model, input_ids=ids, stops=["layers.1.mlp", "if norm > 1e9"])
    assert [plain.records[hit.index].key for hit in plain.hits] == ["model.layers.1.mlp"]
    edited = tracetui.trace(model, input_ids=ids, edits="layers.1.mlp: zero")
    assert not edited["model.layers.1.mlp"].any()
    np.testing.assert_array_equal(edited["model.layers.1.mlp:before_edit"], plain["model.layers.1.mlp"])
    assert edited.run.recipe["edits"] == ["layers.1.mlp: zero"]
    with pytest.raises(tracetui.InputError, match=r"no layers\.7"):
        tracetui.trace(model, input_ids=ids, edits=["layers.7.mlp: zero"])
    with pytest.raises(tracetui.InputError, match="edits"):
        tracetui.trace(model, input_ids=ids, edits="layers.7.mlp")


def test_what_a_recorded_module_raises_has_a_note(broken: Broken) -> None:
    with pytest.raises(RuntimeError) as raised:
        tracetui.trace(broken, torch.ones(3, 5))
    assert raised.value.__notes__[0].startswith("first (Linear) failed: RuntimeError: mat1 and mat2")
    assert "; given input float32 [3, 5]; in the model: test_stops.py:" in raised.value.__notes__[0]
