"""A recorded value is what the module returned, whatever happens to the tensor later."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.tracer.models import prompt, tiny_llama4
from tracetui.tracer.call import record_call
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
