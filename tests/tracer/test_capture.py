"""A recorded value is what the module returned, whatever happens to the tensor later."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from tests.tracer.models import prompt, tiny_llama4
from tests.tracer.tiers import differences, recorded
from tracetui.recording.keep import Keep
from tracetui.tracer.call import record_call, record_module
from tracetui.tracer.capture import alias as capture
from tracetui.tracer.capture.values import TorchValue


class WritesLater(nn.Module):
    """Adds to what its child returned, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.child(x)
        out.add_(100.0)
        return out


def _by_data(x: torch.Tensor) -> None:
    x.data.mul_(2)


def _by_other_data(x: torch.Tensor) -> None:
    x.data = x.data * 2


def _by_numpy(x: torch.Tensor) -> None:
    x.numpy()[...] *= 2


class BetweenModules(nn.Module):
    """Does something with a tensor between one module, which returned it, and the next, which hands it on."""

    def __init__(self, between: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Identity()
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.first(x)
        self.between(out)
        handed_on: torch.Tensor = self.second(out)
        return handed_on


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("write", [_by_data, _by_other_data, _by_numpy])
def test_what_is_written_past_a_tensor_s_version_is_recorded_too(
    write: Callable[[torch.Tensor], None], later: bool
) -> None:
    model, x = BetweenModules(write), torch.randn(2, 3, 4)
    trace, _ = recorded(model, {"x": x}, later)
    np.testing.assert_array_equal(trace["second"], 2 * trace["first"])
    with torch.no_grad():
        np.testing.assert_array_equal(trace["output"], model(x).numpy())


def test_a_tensor_that_was_given_other_memory_has_statistics_of_its_own() -> None:
    model, x = BetweenModules(_by_other_data), torch.randn(2, 3, 4)
    trace = record_module(model, (x,), {}, Keep(everything=False))
    first, second = (trace.value(trace.records[index]).statistics().l2 for index in (0, 1))
    assert second == pytest.approx(2 * first)


@pytest.mark.parametrize("begins_with", [1.0, float("nan")])
def test_a_tensor_that_is_only_read_by_numpy_is_one_and_the_same(begins_with: float) -> None:
    model, x = BetweenModules(lambda out: float(out.numpy().sum())), torch.randn(2, 3, 4)
    x[0, 0, 0] = begins_with
    at_once, later = (recorded(model, {"x": x}, later) for later in (False, True))
    assert not [*differences(at_once, later)]
    for trace, _ in (at_once, later):
        first, second = (trace.records[index] for index in (0, 1))
        assert [first.site, second.site, second.inputs] == ["first", "second", (first.index,)]
        assert trace.value(first) is trace.value(second)


@pytest.mark.parametrize("way", [capture._lazily, capture._copied])
def test_a_kept_tensor_does_not_follow_its_original(way: capture.Capture) -> None:
    original = torch.arange(12.0).view(3, 4)
    kept, column = way(original), way(original[:, 1])
    original.mul_(-1)
    assert torch.equal(kept, torch.arange(12.0).view(3, 4))
    assert torch.equal(column, torch.tensor([1.0, 5.0, 9.0]))


def test_the_lazy_way_copies_nothing_until_somebody_writes() -> None:
    original = torch.zeros(1000)
    kept = capture._lazily(original)
    # numpy() would make the copy; the dispatcher's own question doesn't.
    is_shared = getattr(torch._C, "_is_cow_tensor")  # noqa: B009
    assert is_shared(kept)
    original.add_(1)
    assert not is_shared(original)


def test_a_lazy_clone_that_breaks_its_word_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "_lazy_clone", lambda tensor: tensor)
    assert not capture._lazy_clone_works.__wrapped__("cpu")


def test_a_module_that_writes_into_its_childs_output_is_recorded_before_and_after() -> None:
    model, x = WritesLater(), torch.randn(2, 3, 4)
    trace = record_call(model, x)
    with torch.no_grad():
        before = model.child(x).numpy()
    np.testing.assert_array_equal(trace["child"], before)
    np.testing.assert_array_equal(trace["output"], before + np.float32(100))


def test_llama4_adds_expert_outputs_into_the_shared_experts_and_the_record_is_the_old_one() -> None:
    model = tiny_llama4()
    kept: dict[str, torch.Tensor] = {}
    shared = model.get_submodule("model.layers.0.feed_forward.shared_expert")
    shared.register_forward_hook(lambda module, args, output: kept.update(old=output.clone(), live=output))
    trace = record_call(model, input_ids=prompt(), use_cache=False)
    assert not torch.equal(kept["old"], kept["live"]), "the model is expected to write into it"
    np.testing.assert_array_equal(trace["model.layers.0.feed_forward.shared_expert"], kept["old"].numpy())


def test_views_that_are_conjugated_or_negated_when_they_are_read_can_be_recorded() -> None:
    numbers = torch.tensor([1 + 2j, 3 - 4j])
    for lazy in (numbers.conj(), numbers.conj().imag):
        value = TorchValue(lazy)
        np.testing.assert_array_equal(value.read(), lazy.resolve_conj().resolve_neg().numpy())
        assert value.statistics().max == pytest.approx(lazy.abs().max().item() if lazy.is_complex() else 4)
        assert value.all_finite()
