"""Recordings beside and within each other have all their records."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import nn

import tracetui
from tests.models.hf_files import model_of

IDS = torch.tensor([[5, 17, 3, 99]])


@pytest.fixture(scope="module")
def model() -> Any:
    return model_of("llama")


@pytest.fixture(scope="module")
def sites(model: Any) -> list[str]:
    return [record.site for record in tracetui.trace(model, IDS).records]


def test_threads_that_record_one_model_have_all_records_each(model: Any, sites: list[str]) -> None:
    recorded: list[list[str]] = []

    def record() -> None:
        recorded.extend([each.site for each in tracetui.trace(model, IDS).records] for _ in range(4))

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorded == [sites] * 16


def test_a_recording_within_stops_has_all_records_and_the_block_s_own_calls_are_watched(
    model: Any, sites: list[str]
) -> None:
    def block() -> None:
        with tracetui.stops("model.layers.1.mlp", model=model):
            assert [record.site for record in tracetui.trace(model, IDS).records] == sites
            model(IDS)

    with pytest.raises(tracetui.StopHit):
        block()
    assert [record.site for record in tracetui.trace(model, IDS).records] == sites


def test_a_recording_that_fails_leaves_the_turn_to_others(model: Any, sites: list[str]) -> None:
    with pytest.raises(IndexError):
        tracetui.trace(model, torch.tensor([[10**6]]))
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(len(tracetui.trace(model, IDS).records)))
    thread.start()
    thread.join(60)
    assert found == [len(sites)]


class Around(nn.Module):
    """Traces a model of its own while it runs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.inner: Any = None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.inner = tracetui.trace(self.model, ids)
        return torch.as_tensor(self.model(ids).logits)


def test_a_trace_within_a_trace_has_each_record_once_and_the_outer_one_says_what_it_lacks(model: Any) -> None:
    alone_keys = {record.key for record in tracetui.trace(model, IDS).records}
    around = Around(model)
    outer = tracetui.trace(around, IDS)
    assert {record.key for record in around.inner.records} == alone_keys
    assert len(around.inner.records) == len(alone_keys)
    assert any(note.startswith("a call was traced while this one ran") for note in outer.run.notes)
    assert "model.model.layers.0.self_attn:q@0.1" in outer


def test_inference_mode_says_what_it_keeps_from_being_recorded(model: Any) -> None:
    with torch.inference_mode():
        trace = tracetui.trace(model, IDS)
    assert trace.run.notes == (
        "in inference mode what modules are given is not recorded; torch.no_grad() has it recorded",
    )
    assert not tracetui.trace(model, IDS).run.notes
