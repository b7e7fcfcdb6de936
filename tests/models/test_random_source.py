"""Random weights are the same however little of them is made, and by however many threads."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tracetui.errors import Cancelled
from tracetui.models.weights.random_source import BLOCK, RandomSource
from tracetui.models.weights.sources import Init, TensorSpec

STD = 0.02
MANY_BLOCKS = TensorSpec("model.layers.0.mlp.up_proj.weight", (700, 1000), torch.float32)
"""262 rows a block: three blocks, the last one short."""
LONG_ROWS = TensorSpec("lm_head.weight", (3, 2 * BLOCK + 5), torch.float32)
"""Rows of three pieces each."""
FUSED = TensorSpec("model.layers.0.mlp.experts.gate_up_proj", (5, 300, 400), torch.bfloat16)
SPECS = (
    MANY_BLOCKS,
    LONG_ROWS,
    FUSED,
    TensorSpec("vector", (17,), torch.float16),
    TensorSpec("none", (0, 4), torch.float32),
    TensorSpec("rows of nothing", (4, 0), torch.float32),
)


def silent(made: int) -> None:
    """Nobody watches."""


def whole(spec: TensorSpec, seed: int = 0, workers: int = 2) -> torch.Tensor:
    return RandomSource(seed, STD, workers).read(spec, None, silent)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("workers", [1, 3, 16])
def test_the_number_of_threads_changes_nothing(spec: TensorSpec, workers: int) -> None:
    made = whole(spec, workers=workers)
    assert made.shape == spec.shape
    assert made.dtype == spec.dtype
    assert torch.equal(made, whole(spec, workers=2))


@settings(max_examples=25)
@given(st.data())
def test_rows_are_those_of_the_whole_in_any_order(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(SPECS[:4]))
    rows = data.draw(st.lists(st.integers(0, spec.rows - 1), max_size=6))
    workers = data.draw(st.integers(1, 4))
    made = RandomSource(0, STD, workers).read(spec, rows, silent)
    assert torch.equal(made, whole(spec)[rows])


def test_every_dtype_has_the_same_numbers_up_to_rounding() -> None:
    exact = whole(MANY_BLOCKS)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        spec = TensorSpec(MANY_BLOCKS.name, MANY_BLOCKS.shape, dtype)
        assert torch.equal(whole(spec), exact.to(dtype))


def test_seed_name_and_block_each_change_the_numbers() -> None:
    made = whole(MANY_BLOCKS)
    other = TensorSpec("model.layers.1.mlp.up_proj.weight", MANY_BLOCKS.shape, torch.float32)
    assert not torch.equal(whole(MANY_BLOCKS, seed=1), made)
    assert not torch.equal(whole(other), made)
    assert not torch.equal(made[:100], made[262:362])
    rows = whole(LONG_ROWS)
    assert not torch.equal(rows[0, :BLOCK], rows[0, BLOCK : 2 * BLOCK])
    assert not torch.equal(rows[0], rows[1])


def test_the_numbers_are_normal_with_the_asked_spread() -> None:
    made = whole(MANY_BLOCKS).double()
    error = STD / MANY_BLOCKS.shape[0] ** 0.5 / MANY_BLOCKS.shape[1] ** 0.5
    assert abs(made.mean()) < 5 * error
    assert abs(made.std() - STD) < 5 * error
    assert abs((made.abs() < STD).double().mean() - 0.6827) < 0.005


def test_norms_are_one_and_biases_zero() -> None:
    for init, value in ((Init.ONES, 1.0), (Init.ZEROS, 0.0)):
        spec = TensorSpec("a.weight", (6, 2), torch.bfloat16, init)
        ticks: list[int] = []
        assert torch.equal(RandomSource(0, STD).read(spec, None, ticks.append), torch.full((6, 2), value).bfloat16())
        assert torch.equal(RandomSource(0, STD).read(spec, [3, 3], ticks.append), torch.full((2, 2), value).bfloat16())
        assert ticks == [24, 8]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("rows", [None, [1, 0]])
def test_ticks_add_up_to_the_bytes_made(spec: TensorSpec, rows: list[int] | None) -> None:
    if rows and not spec.rows:
        rows = []
    ticks: list[int] = []
    RandomSource(0, STD, 2).read(spec, rows, ticks.append)
    assert sum(ticks) == spec.nbytes(None if rows is None else len(rows))


def test_a_tick_that_raises_stops_the_work_and_leaves_no_thread() -> None:
    big = TensorSpec("big", (64, BLOCK), torch.bfloat16)
    ticks: list[int] = []

    def cancel(made: int) -> None:
        ticks.append(made)
        raise Cancelled

    with pytest.raises(Cancelled):
        RandomSource(0, STD, 2).read(big, None, cancel)
    assert len(ticks) == 1
    assert ticks[0] < big.nbytes()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("weights")]


def test_making_weights_leaves_the_user_s_own_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    whole(MANY_BLOCKS)
    assert torch.equal(torch.rand(4), expected)
