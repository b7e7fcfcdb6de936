"""Random weights are the same however little of them is made, and by however many threads."""

from __future__ import annotations

import threading
from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tracetui.errors import Cancelled
from tracetui.models.weights import normals as normals_of
from tracetui.models.weights.random_source import RUN, RandomSource
from tracetui.models.weights.sources import Init, TensorSpec

STD = 0.02
FIRST = [0.9783086, -1.6062135, 0.5535660, -3.2304811]
MANY_RUNS = TensorSpec("model.layers.0.mlp.up_proj.weight", (700, 1000), torch.float32)
"""Two runs and a short one."""
LONG_ROWS = TensorSpec("lm_head.weight", (3, 2 * RUN + 5), torch.float32)
"""Rows of three runs each."""
FUSED = TensorSpec("model.layers.0.mlp.experts.gate_up_proj", (5, 300, 400), torch.bfloat16)
SPECS = (
    MANY_RUNS,
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
    exact = whole(MANY_RUNS)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        spec = TensorSpec(MANY_RUNS.name, MANY_RUNS.shape, dtype)
        assert torch.equal(whole(spec), exact.to(dtype))


def test_seed_name_and_place_each_change_the_numbers() -> None:
    made = whole(MANY_RUNS)
    other = TensorSpec("model.layers.1.mlp.up_proj.weight", MANY_RUNS.shape, torch.float32)
    assert not torch.equal(whole(MANY_RUNS, seed=1), made)
    assert not torch.equal(whole(other), made)
    assert not any(torch.equal(made[0], row) for row in made[1:])
    rows = whole(LONG_ROWS)
    assert not torch.equal(rows[0, :RUN], rows[0, RUN : 2 * RUN])
    assert not torch.equal(rows[0], rows[1])


@pytest.fixture(scope="module")
def normals() -> torch.Tensor:
    """Four million of them, in units of their spread."""
    return whole(TensorSpec("many", (4096, 1024), torch.float32)).double() / STD


def test_the_numbers_are_normal_with_the_asked_spread(normals: torch.Tensor) -> None:
    error = normals.numel() ** -0.5
    assert abs(normals.mean()) < 5 * error
    assert abs(normals.square().mean() - 1) < 5 * 2**0.5 * error
    assert abs(normals.pow(3).mean()) < 5 * 15**0.5 * error
    assert abs(normals.pow(4).mean() - 3) < 5 * 96**0.5 * error


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
def test_as_many_lie_beyond_any_distance_as_should(normals: torch.Tensor, distance: float) -> None:
    share = 2 - 2 * NormalDist().cdf(distance)
    seen = float((normals.abs() > distance).double().mean())
    assert abs(seen - share) < 5 * (share / normals.numel()) ** 0.5 + 1e-5


@pytest.mark.parametrize("apart", [1, 2, 3, 4, 15, 16, 17, 1024, 4096])
def test_neighbours_know_nothing_of_each_other(normals: torch.Tensor, apart: int) -> None:
    """Beside each other, in one word or block of the generator, or one above the other; squares alike."""
    flat = normals.flatten()
    error = flat.numel() ** -0.5
    assert abs((flat[:-apart] * flat[apart:]).mean()) < 5 * error
    squares = flat.square() - 1
    assert abs((squares[:-apart] * squares[apart:]).mean()) < 10 * error


def test_tensors_know_nothing_of_each_other(normals: torch.Tensor) -> None:
    other = whole(TensorSpec("others", (4096, 1024), torch.float32)).double() / STD
    assert abs((normals * other).mean()) < 5 * normals.numel() ** -0.5
    assert abs(float(torch.linalg.matrix_norm(normals, 2)) - (4096**0.5 + 1024**0.5)) < 2


@settings(max_examples=60)
@given(st.integers(0, 2**40), st.integers(0, 70), st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
def test_compiled_code_and_numpy_draw_the_same(first: int, numel: int, dtype: torch.dtype) -> None:
    key = bytes(range(16))
    one, other = torch.empty(numel, dtype=dtype), torch.empty(numel, dtype=dtype)
    table = normals_of.table_of(STD, dtype)
    normals_of.draw(key, first, table, one)
    normals_of._draw_with_numpy(int.from_bytes(key, "little"), first, table, other)
    assert torch.equal(one, other)


def test_numbers_stay_what_they_are() -> None:
    """Another version draws the same of a seed: what they are stands in files, pictures and people's notes."""
    made = RandomSource(0, 1.0).read(TensorSpec("a", (4,), torch.float32), None, silent)
    assert made.tolist() == pytest.approx(FIRST, abs=1e-6)


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
    big = TensorSpec("big", (64, RUN), torch.bfloat16)
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
    whole(MANY_RUNS)
    assert torch.equal(torch.rand(4), expected)
