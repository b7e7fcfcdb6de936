"""Loads: shares sum to one, and the measures of unevenness have their known ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny_moe import DEEPSEEK, Family, whole_trace
from tracetui.analysis.experts.load import NO_LOADS, Load, expert_load, extended, load_matrix
from tracetui.recording.value import ArrayValue, StatisticsValue


def load(*counts: int) -> Load:
    return Load(np.array(counts, np.int64))


def test_an_even_load() -> None:
    even = load(3, 3, 3, 3, 3, 3, 3, 3)
    assert (even.entropy, even.most_entropy, even.gini, even.dead.tolist()) == (3.0, 3.0, 0.0, [])


def test_a_load_on_one_expert() -> None:
    one = load(0, 7, 0, 0)
    assert (one.entropy, one.gini, one.dead.tolist(), one.busiest(3)) == (0.0, 0.75, [0, 2, 3], [1])


def test_no_choices_at_all() -> None:
    none = expert_load(np.zeros((0, 2), np.int64), 4)
    assert (none.entropy, none.gini, none.shares.tolist(), none.busiest(2)) == (0.0, 0.0, [0.0] * 4, [])


def test_the_busiest_come_first_and_equal_ones_in_order() -> None:
    assert load(1, 5, 2, 5).busiest(3) == [1, 3, 2]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_measures_stay_within_their_ends(counts: list[int]) -> None:
    found = load(*counts)
    assert found.shares.sum() == pytest.approx(1.0 if sum(counts) else 0.0)
    assert 0 <= found.entropy <= found.most_entropy + 1e-9
    assert -1e-12 <= found.gini <= 1 - 1 / len(counts) + 1e-12
    spread = sum(abs(a - b) for a in counts for b in counts)
    expected = spread / (2 * len(counts) * sum(counts)) if sum(counts) else 0.0
    assert found.gini == pytest.approx(expected), "half of the mean difference of two, against the mean"


def test_every_choice_of_every_real_token_is_counted() -> None:
    recorder = whole_trace(DEEPSEEK, lengths=(17, 5))
    loads = extended(NO_LOADS, recorder.trace, len(recorder.records))
    assert [block.record.layer for block in loads.of_pass()] == [1, 2]
    for block in loads.of_pass():
        assert block.load is not None
        assert block.load.counts.sum() == 22 * DEEPSEEK.active
    first, shares = load_matrix(loads.of_pass())
    assert (first, shares.shape) == (1, (2, 16))
    assert shares.sum(axis=1) == pytest.approx([1.0, 1.0])


def test_loads_grow_with_the_records_and_are_not_read_twice() -> None:
    class Once(ArrayValue):
        reads = 0

        def read(self, index: tuple[int | slice, ...] = ()) -> np.ndarray:
            Once.reads += 1
            return super().read(index)

    recorder = whole_trace()
    for record in recorder.records:
        if record.role == "experts":
            recorder.values[record.index] = Once(recorder.values[record.index].read())
    loads = NO_LOADS
    seen = []
    for frontier in range(len(recorder.records) + 1):
        loads = extended(loads, recorder.trace, frontier)
        seen.append(len(loads.blocks))
    assert seen[-1] == 2
    assert seen == sorted(seen)
    assert Once.reads == 2
    assert extended(loads, whole_trace().trace, 3).blocks == (), "another trace starts anew"


def test_dense_layers_between_and_narrower_layers_are_gaps() -> None:
    recorder = whole_trace(Family(layers=4, dense=1))
    blocks = extended(NO_LOADS, recorder.trace, len(recorder.records)).of_pass()
    first, shares = load_matrix([blocks[0], blocks[2]])
    assert (first, shares.shape) == (1, (3, 16))
    assert np.isnan(shares[1]).all()
    assert load_matrix([])[1].shape == (0, 0)


def test_the_block_of_a_record() -> None:
    recorder = whole_trace()
    loads = extended(NO_LOADS, recorder.trace, len(recorder.records))
    first, second = (block.record.index for block in loads.blocks)
    found = [loads.at(cursor) for cursor in (0, first, second - 1, second, len(recorder.records))]
    assert [block and block.record.index for block in found] == [None, first, first, second, second]
    assert [loads.after(cursor) for cursor in (0, first, second)] == [*loads.blocks, None]
    assert NO_LOADS.at(3) is None
    assert loads.neighbour(first + 1, 1) is loads.blocks[1]
    assert loads.neighbour(second, -1) is loads.blocks[0]
    assert [loads.neighbour(first, -1), loads.neighbour(second, 1), NO_LOADS.neighbour(0, 1)] == [None] * 3
    assert loads.of_layer(2) is loads.blocks[1]
    assert loads.of_layer(0) is None


def test_choices_of_which_only_statistics_are_left() -> None:
    recorder = whole_trace()
    record = recorder.trace.find("model.layers.1.mlp:experts")
    assert record is not None
    value = recorder.values[record.index]
    recorder.values[record.index] = StatisticsValue(value.shape, value.dtype, value.statistics())
    blocks = extended(NO_LOADS, recorder.trace, len(recorder.records)).of_pass()
    assert [block.load is None for block in blocks] == [True, False]
    _, shares = load_matrix(blocks)
    assert np.isnan(shares[0]).all()
    assert math.isclose(shares[1].sum(), 1.0)
