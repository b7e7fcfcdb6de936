"""Recordings beside and within each other have all their records."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

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
