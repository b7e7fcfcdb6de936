"""That the stand-in for a GPU is as strict as one: else nothing that is tried on it tells anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.device.stand_in import CPU, GPU, StandIn


@pytest.fixture
def gpu() -> Iterator[StandIn]:
    with StandIn().there() as stand_in:
        yield stand_in


def test_tensors_of_two_devices_are_refused(gpu: StandIn) -> None:
    here, there = torch.ones(3), torch.ones(3, device="cuda")
    assert (here.device, there.device, (there * 2).is_cuda, there.is_cpu) == (CPU, GPU, True, False)
    mixed: list[Callable[[], object]]
    mixed = [lambda: here + there, lambda: torch.cat((here, there)), lambda: here[there.long()]]
    for mix in mixed:
        with pytest.raises(RuntimeError, match="same device"):
            mix()
    # A number without axes, and indices of the processor, may stand beside.
    assert (there + torch.tensor(1.0)).is_cuda
    assert there[torch.tensor([0, 1])].is_cuda


def test_what_makes_the_processor_wait_is_counted(gpu: StandIn) -> None:
    there = torch.arange(4.0).to("cuda")
    assert gpu.waits == []
    told = there.sum().item(), bool((there > 0).any()), there.tolist(), torch.equal(there, there)
    assert told == (6.0, True, [0.0, 1.0, 2.0, 3.0], True)
    assert there[there > 1].cpu().tolist() == [2.0, 3.0]
    assert gpu.waits == ["item", "__bool__", "tolist", "equal", "__getitem__ by flags", "to cpu"]
    with pytest.raises(TypeError, match="can't convert cuda"):
        there.numpy()


def test_who_reads_a_copy_before_its_event_gets_something_else(gpu: StandIn) -> None:
    there, pinned = torch.ones(3, device="cuda"), torch.zeros(3, pin_memory=True)
    cuda: Any = torch.cuda
    side = cuda.Stream()
    with cuda.stream(side):
        pinned.copy_(there, non_blocking=True)
    event = cuda.Event()
    event.record(side)
    assert pinned.tolist() == [0.0] * 3
    assert not event.query()
    event.synchronize()
    assert pinned.tolist() == [1.0] * 3


def test_views_lie_where_their_tensor_lies_and_new_memory_does_not(gpu: StandIn) -> None:
    there = torch.ones(4, 4).to(GPU)
    assert there[1:].t().is_cuda
    del there
    assert not torch.ones(4, 4).is_cuda
