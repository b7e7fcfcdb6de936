"""What is recorded of tensors on a GPU: copied in the background, the same to the last bit, with hardly any waiting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from tests.device.stand_in import GPU, StandIn
from tracetui.models.devices.uploads import Uploads
from tracetui.recording.keep import ROOM
from tracetui.recording.statistics import by_numpy
from tracetui.tracer.capture.device_statistics import sums_of
from tracetui.tracer.capture.device_values import DeviceValue
from tracetui.tracer.capture.host_copies import HostCopies
from tracetui.tracer.capture.store import ValueStore


@pytest.fixture
def gpu() -> Iterator[StandIn]:
    with StandIn().there() as stand_in:
        yield stand_in


def _tensors() -> list[torch.Tensor]:
    made = torch.Generator().manual_seed(1)
    plain = torch.randn(3, 5, 7, generator=made)
    return [
        plain,
        plain.transpose(0, 2),
        plain[:, ::2],
        plain.to(torch.bfloat16),
        plain[0].to(torch.float16),
        torch.arange(6).view(2, 3),
        torch.empty(0, 4),
        torch.tensor(3.5),
        plain > 0,
        torch.full((2, 2), torch.nan),
    ]


def test_values_arrive_whole_whatever_their_form(gpu: StandIn) -> None:
    copies, tensors = HostCopies(), _tensors()
    values = [copies.value(tensor.to(GPU)) for tensor in tensors]
    gpu.waits.clear()
    copies.send()
    assert gpu.waits == []
    copies.finish()
    assert gpu.waits == ["an event"]
    for value, tensor in zip(values, tensors, strict=True):
        wide = tensor.float() if tensor.dtype is torch.bfloat16 else tensor
        np.testing.assert_array_equal(value.read(), wide.numpy())
        assert value.all_finite() is bool(torch.isfinite(tensor).all())
    assert gpu.waits == ["an event"]
    copies.let_go()
    assert not any(value.captured.is_cuda for value in values)
    assert values[1].captured.stride() == tensors[1].stride()
    assert values[0].tensor.device == GPU


def test_who_reads_early_waits_for_that_value_alone(gpu: StandIn) -> None:
    copies = HostCopies()
    first, second = (copies.value(torch.full((4,), float(each)).to(GPU)) for each in range(2))
    copies.send()
    gpu.waits.clear()
    assert second.read().tolist() == [1.0] * 4
    assert gpu.waits == ["an event"]
    assert first.statistics().max == 0


@pytest.mark.parametrize("count", [4, 2**21])
def test_nobody_is_told_of_a_copy_that_could_not_be_waited_for(gpu: StandIn, count: int) -> None:
    """A thread of the screen may look at a value in the middle of its sending."""
    told: list[bool] = []
    with patch.object(DeviceValue, "sent", lambda self, copy, batch: told.append(batch.event is not None)):
        copies = HostCopies()
        copies.value(torch.ones(count).to(GPU))
        copies.send()
    assert told == [True]


def test_a_value_that_is_not_sent_yet_is_read_where_it_is(gpu: StandIn) -> None:
    value = HostCopies().value(torch.ones(3).to(GPU))
    gpu.waits.clear()
    assert value.read((slice(1),)).tolist() == [1.0]
    assert gpu.waits == ["to cpu"]


def test_large_values_and_many_batches_keep_their_places(gpu: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.tracer.capture.host_copies._BATCH", 1024)
    monkeypatch.setattr("tracetui.tracer.capture.device_lane._SLAB", 4096)
    monkeypatch.setattr("tracetui.tracer.capture.device_lane._SMALL", 256)
    copies, made = HostCopies(), torch.Generator().manual_seed(1)
    tensors = [torch.randn(size, generator=made) for size in (10, 200, 3, 5000, 60, 60, 60, 60, 1)]
    values = [copies.value(tensor.to(GPU)) for tensor in tensors]
    copies.let_go()
    for value, tensor in zip(values, tensors, strict=True):
        np.testing.assert_array_equal(value.read(), tensor.numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bad", [(), (torch.nan,), (torch.inf, -torch.inf, torch.nan, 0.0, -0.0)])
def test_statistics_on_the_device_are_numpys(dtype: torch.dtype, bad: tuple[float, ...], gpu: StandIn) -> None:
    made = torch.Generator().manual_seed(1)
    tensor = torch.cat((torch.randn(5000, generator=made) * 0.01 + 100, torch.tensor(bad))).to(dtype)
    value = ValueStore(ROOM, 2**40).summarise(tensor.to(GPU))
    expected = by_numpy(tensor.double().numpy())
    for name in ("numel", "nan", "posinf", "neginf", "zeros", "min", "max"):
        assert getattr(value.statistics(), name) == getattr(expected, name), name
    for name in ("l2", "mean", "std"):
        assert getattr(value.statistics(), name) == pytest.approx(getattr(expected, name), rel=1e-6), name


def test_nothing_but_bad_numbers_has_no_mean(gpu: StandIn) -> None:
    value = ValueStore(ROOM, 2**40).summarise(torch.full((3,), torch.nan).to(GPU))
    assert value.statistics().nan == 3
    assert np.isnan(value.statistics().mean)


def test_sums_of_several_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    whole = sums_of(tensor)
    monkeypatch.setattr("tracetui.tracer.capture.device_statistics._AT_ONCE", 64)
    torch.testing.assert_close(sums_of(tensor), whole)


def test_where_nothing_can_be_gathered_values_are_copied_one_by_one(gpu: StandIn) -> None:
    def full(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    copies = HostCopies()
    value = copies.value(torch.ones(3).to(GPU))
    with patch("tracetui.tracer.capture.device_lane.DeviceLane._sent", full):
        copies.let_go()
    assert not value.captured.is_cuda
    assert value.read().tolist() == [1.0] * 3


def test_without_pinned_memory_plain_memory_does(gpu: StandIn) -> None:
    made = torch.empty

    def full(*size: Any, **options: Any) -> torch.Tensor:
        if options.pop("pin_memory", False):
            raise RuntimeError("CUDA error: out of memory")
        return made(*size, **options)

    with patch("tracetui.models.devices.streams.torch.empty", full):
        copies = HostCopies()
        value, sent = copies.value(torch.ones(3).to(GPU)), Uploads(GPU).send(torch.ones(2))
        copies.let_go()
    assert value.read().tolist() == [1.0] * 3
    assert (sent.is_cuda, sent.tolist()) == (True, [1.0] * 2)
