"""Whoever computes waits while the screen answers a key, and no longer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
import torch

from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.sources import TensorSpec
from tracetui.screen_turn import ScreenTurn
from tracetui.tracer.gate import Gate
from tracetui.tracer.weights_told import weights_told

SPEC = TensorSpec("model.embed_tokens.weight", (4, 2**18), torch.float32)


@pytest.fixture
def _without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.screen_turn.LONGEST", 60.0)


@pytest.mark.usefixtures("_without_end")
def test_a_thread_that_computes_waits_until_the_answer_is_on_the_screen() -> None:
    turn, asks, done = ScreenTurn(), Event(), []

    def compute() -> None:
        asks.set()
        turn.give_way()
        done.append("computed")

    turn.give_way()
    turn.begin()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(compute)
        assert asks.wait(10)
        done.append("answered")
        turn.end()
        waits.result(10)
    assert done == ["answered", "computed"]
    turn.give_way()


def test_a_key_that_changes_nothing_holds_nobody_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.screen_turn.LONGEST", 0.01)
    turn = ScreenTurn()
    turn.begin()
    turn.give_way()
    turn.give_way()


class Held(ScreenTurn):
    """A turn that somebody has waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = Event()

    def give_way(self) -> None:
        self.asked.set()
        super().give_way()


@pytest.mark.usefixtures("_without_end")
def test_random_weights_are_made_between_turns_and_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    source, turn = RandomSource(1, 0.02, workers=2), Held()
    expected = source.read(SPEC, None, lambda _: None)
    monkeypatch.setattr("tracetui.models.weights.random_source.screen_turn", turn)
    turn.begin()
    with ThreadPoolExecutor(1) as pool:
        reads = pool.submit(source.read, SPEC, None, made.append)
        try:
            assert turn.asked.wait(10)
            assert made == []
        finally:
            turn.end()
        np.testing.assert_array_equal(reads.result(10), expected)
    assert sum(made) == SPEC.nbytes()


@pytest.mark.usefixtures("_without_end")
def test_any_weights_are_read_between_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Held()
    monkeypatch.setattr("tracetui.tracer.weights_told.screen_turn", turn)
    weights_told(Gate(), lambda _: None)("model.norm.weight", 0, 8)
    assert turn.asked.is_set()
