"""The reference statistics against sums that Python carries out exactly."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracetui.recording.statistics import NO_STATISTICS, merged, of_array

shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)


@given(array=hnp.arrays(np.float32, shapes, elements=st.floats(-1000, 1000, width=32)))
def test_finite_values_have_exact_statistics(array: npt.NDArray[np.float32]) -> None:
    found = of_array(array)
    exact = [Fraction(float(value)) for value in array.reshape(-1)]
    assert found.numel == len(exact)
    assert found.finite
    assert found.zeros == exact.count(Fraction(0))
    if exact:
        mean = sum(exact) / len(exact)
        variance = sum((value - mean) ** 2 for value in exact) / len(exact)
        assert found.l2 == pytest.approx(math.sqrt(sum(value**2 for value in exact)), rel=1e-9)
        assert found.mean == pytest.approx(float(mean), rel=1e-9, abs=1e-9)
        assert found.std == pytest.approx(math.sqrt(variance), rel=1e-9, abs=1e-6)
        assert (found.min, found.max) == (float(min(exact)), float(max(exact)))
        assert found.absmax == max(abs(value) for value in exact)


def test_a_small_spread_around_a_large_mean_is_seen() -> None:
    array = np.random.default_rng(0).normal(100, 0.01, 100_000).astype(np.float32)
    assert of_array(array).std == pytest.approx(float(array.astype(np.float64).std()), rel=1e-9)


@given(array=hnp.arrays(np.float64, shapes, elements=st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5])))
def test_nan_and_infinity_are_counted_apart_and_left_out(array: npt.NDArray[np.float64]) -> None:
    found = of_array(array)
    finite = array[np.isfinite(array)]
    assert found.nan + found.posinf + found.neginf + finite.size == found.numel == array.size
    assert found.finite == (finite.size == array.size)
    assert (found.nan, found.posinf) == (np.isnan(array).sum(), (array == np.inf).sum())
    assert found.zeros == (array == 0).sum()
    assert found.finite_count == finite.size
    numbers = (found.l2, found.mean, found.std, found.min, found.max, found.absmax)
    if not finite.size:
        # No number stands for what has none.
        assert all(map(math.isnan, numbers))
    else:
        assert found.max == finite.max()


def test_tensors_without_elements_have_none() -> None:
    assert repr(of_array(np.zeros((0, 3)))) == repr(NO_STATISTICS)


@pytest.mark.parametrize(
    ("array", "mean", "l2"),
    [
        (np.array([True, False, True, True]), 0.75, math.sqrt(3)),
        (np.array([3, -4], np.int8), -0.5, 5.0),
        (np.array([60000, 60000], np.float16), 60000, pytest.approx(60000 * math.sqrt(2), rel=1e-3)),
        (np.array([3 + 4j, 0]), 2.5, 5.0),
    ],
)
def test_every_kind_of_number_is_counted_wide(array: npt.NDArray[np.generic], mean: float, l2: float) -> None:
    found = of_array(array)
    assert found.mean == pytest.approx(mean, rel=1e-3)
    assert found.l2 == l2


@pytest.mark.parametrize("values", [[3.0], [1.0, -2.0, 5.0], [math.nan, 1.0, 2.0]])
def test_a_tensor_in_one_part_has_that_part_s(values: list[float]) -> None:
    """A file may hold hundreds of thousands of them."""
    part = of_array(np.array(values, np.float32))
    assert merged([part]) is part


def test_one_part_of_numbers_all_alike_has_no_spread() -> None:
    part = of_array(np.full(1000, 0.1, np.float32))
    assert merged([part]).mean == part.min
