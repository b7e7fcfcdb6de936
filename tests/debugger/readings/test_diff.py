"""A part of both sides and their difference, of every kind of number."""

from __future__ import annotations

import numpy as np
import pytest

from tracetui.debugger.readings.diff import difference


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint64", "int64", "float16", "float32"])
def test_a_difference_goes_below_nothing(dtype: str) -> None:
    low, high = np.zeros(2, dtype), np.ones(2, dtype)
    assert difference(low, high).tolist() == [-1, -1]
    assert difference(high, low).tolist() == [1, 1]


def test_the_same_infinity_is_no_difference() -> None:
    a = np.array([np.inf, -np.inf, np.inf, 1])
    assert difference(a, np.array([np.inf, -np.inf, -np.inf, 1])).tolist() == [0, 0, np.inf, 0]


def test_of_complex_numbers_both_parts_count() -> None:
    assert abs(difference(np.array([3 + 0j]), np.array([0 + 4j]))).tolist() == [5]
