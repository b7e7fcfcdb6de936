"""Distances are those of the plain formulas, whatever the blocks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.analysis.diff.made import normal
from tracetui.analysis.diff.distances.by_statistics import by_statistics
from tracetui.analysis.diff.distances.distance import distance
from tracetui.analysis.diff.rounding.tolerance import Limits, Tolerance
from tracetui.recording.statistics import of_array
from tracetui.recording.value import Array, ArrayValue

_floats = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e6, 1e6, width=32))


@given(_floats, st.integers(0, 3), st.floats(0, 1), st.floats(0, 1e3))
def test_distances_are_numpy_s(a: Array, seed: int, rtol: float, atol: float) -> None:
    b = a + normal(*a.shape, seed=seed) * 10
    found = distance(ArrayValue(a), ArrayValue(b), Tolerance(rtol, atol))
    x, y = a.astype(np.float64), b.astype(np.float64)
    off = np.abs(x - y) > atol + rtol * np.abs(y)
    assert found.off == off.sum()
    assert (found.off == 0) == np.allclose(x, y, rtol=rtol, atol=atol)
    assert found.max_abs == np.abs(x - y).max()
    assert found.worst is not None
    assert (found.worst_a, found.worst_b) == (x[found.worst], y[found.worst])
    apart = np.abs(x - y)
    assert abs(found.worst_a - found.worst_b) == apart[found.worst[:-1]].max()
    assert found.relative == pytest.approx(np.linalg.norm(x - y) / np.linalg.norm(y))


def test_equal_infinities_in_a_later_block_hide_nothing() -> None:
    b = normal(8, 40_000)
    a = b.copy()
    a[0] *= 1 + 3e-4
    plain = distance(ArrayValue(a), ArrayValue(b), Tolerance(2e-5, 2e-5))
    a[5, 3] = b[5, 3] = -np.inf
    found = distance(ArrayValue(a), ArrayValue(b), Tolerance(2e-5, 2e-5))
    assert found.relative == pytest.approx(plain.relative, rel=1e-3)
    assert found.scale == pytest.approx(plain.scale, rel=1e-3)
    assert 0 < 1 - found.cosine < 1e-6


def test_many_blocks_are_one_tensor() -> None:
    a = normal(3, 700, 1100)
    b = a.copy()
    b[2, 650, 7] += 3
    found = distance(ArrayValue(a), ArrayValue(b), Tolerance(1e-6, 1e-6))
    assert (found.numel, found.off, found.worst) == (a.size, 1, (2, 650, 7))
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    assert found.cosine == pytest.approx(x @ y / np.sqrt((x @ x) * (y @ y)), abs=1e-12)


def test_a_row_longer_than_a_block_is_held_to_all_of_itself() -> None:
    b = np.ones((1, 540_000), np.float32)
    b[0, 500_000:] = 1000.0
    a = b.copy()
    a[0, 3] += 1.0
    a[0, 499_999] = 11.0
    a[0, 530_000] = np.inf
    b[0, 530_000] = np.inf
    tolerance = Tolerance(1e-3, 0.0, slack=1.0, per_row=1e-2)
    found = distance(ArrayValue(a), ArrayValue(b), tolerance)
    scale = math.sqrt(np.square(b[np.isfinite(b)].astype(np.float64)).sum() / b.size)
    assert 1.0 < 1e-2 * scale < 10.0
    assert (found.off, found.far, found.worst, found.worst_a) == (1, 1, (0, 499_999), 11.0)
    flat = distance(ArrayValue(a[0]), ArrayValue(b[0]), replace(tolerance, per_row=0.0))
    assert (flat.off, flat.worst, flat.unlike) == (2, (499_999,), 0)


def test_nan_and_inf_count_where_the_other_side_has_none() -> None:
    a = np.array([1, np.nan, np.inf, -np.inf, np.nan, 5], dtype=np.float32)
    b = np.array([1, np.nan, np.inf, np.inf, 2, 5], dtype=np.float32)
    found = distance(ArrayValue(a), ArrayValue(b), Tolerance(1e-5, 1e-5))
    assert (found.unlike, found.off, found.worst) == (2, 2, (3,))
    assert found.max_abs == 0
    assert distance(ArrayValue(a), ArrayValue(a), Tolerance(0, 0)).off == 0


def test_whole_numbers_are_compared_as_such() -> None:
    a, b = np.array([2**62 + 1, 3]), np.array([2**62, 3])
    assert distance(ArrayValue(a), ArrayValue(b), Tolerance(0, 0)).off == 1
    flags = distance(ArrayValue(np.array([True, False])), ArrayValue(np.array([True, True])), Tolerance(0, 0))
    assert (flags.off, flags.worst) == (1, (1,))


def test_complex_numbers_scalars_and_nothing() -> None:
    z = np.array([1 + 1j, 2], dtype=np.complex64)
    assert distance(ArrayValue(z), ArrayValue(z.conj()), Tolerance(1e-5, 1e-5)).max_abs == 2
    assert distance(ArrayValue(np.array(2.0)), ArrayValue(np.array(3.0)), Tolerance(0, 0)).worst == ()
    nothing = distance(ArrayValue(np.zeros((0, 3))), ArrayValue(np.zeros((0, 3))), Tolerance(0, 0))
    assert (nothing.off, nothing.worst, nothing.cosine, nothing.share) == (0, None, 1.0, 0.0)
    assert math.isinf(distance(ArrayValue(np.ones(2)), ArrayValue(np.zeros(2)), Tolerance(0, 0)).relative)


def test_the_coarser_dtype_decides_and_the_user_s_word_overrides() -> None:
    limits = Limits()
    fine, coarse = limits.tolerance("float32", "float32", 1.0), limits.tolerance("float32", "bfloat16", 1.0)
    assert fine.rtol < limits.tolerance("float16", "float32", 1.0).rtol < coarse.rtol
    assert coarse == limits.tolerance("bfloat16", "bfloat16", 1.0)
    assert coarse.rtol < limits.tolerance("float8_e4m3fn", "bfloat16", 1.0).rtol
    assert limits.tolerance("int64", "bool", 9.0).exact
    assert limits.tolerance("float32", "int64", 1.0) == fine
    assert limits.tolerance("float32", "float32", 10.0).atol == pytest.approx(10 * fine.atol)
    assert Limits(0.5, 0.25).tolerance("float32", "float32", 10.0) == Tolerance(0.5, 0.25)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rounding_to_a_dtype_is_within_its_tolerance(dtype: str) -> None:
    exact = normal(100, 100).astype(np.float64) / 3
    rounded: Array = exact.astype(dtype)
    tolerance = Limits().tolerance(dtype, "float64", 1 / 3)
    assert distance(ArrayValue(rounded), ArrayValue(exact), tolerance).off == 0


def test_statistics_that_differ_prove_a_difference() -> None:
    a = normal(50, 3)
    tolerance = Tolerance(1e-5, 1e-5)
    assert by_statistics(of_array(a), of_array(a), tolerance).off == 0
    assert by_statistics(of_array(a * 1.01), of_array(a), tolerance).off == 1
    nan = a.copy()
    nan[3, 1] = np.nan
    assert by_statistics(of_array(nan), of_array(a), tolerance).unlike == 1


def test_statistics_that_are_no_numbers_are_near_themselves_alone() -> None:
    sound = of_array(normal(3, 4))
    for odd in (math.nan, math.inf):
        told = replace(sound, mean=odd)
        assert by_statistics(told, sound, Tolerance(1e-3, 1e-3)).off
        assert not by_statistics(told, told, Tolerance(1e-3, 1e-3)).off
