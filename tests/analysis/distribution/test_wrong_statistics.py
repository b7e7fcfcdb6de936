"""A file's statistics may be wrong in any way: what is counted is what was read, and nothing is raised or warned of."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.recording.made import KnownValue, statistics
from tracetui.analysis.distribution.distribution import distribution
from tracetui.analysis.distribution.histogram import HistogramScale
from tracetui.analysis.distribution.outliers import outliers_of
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Array

arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
)


@given(arrays, statistics)
def test_nothing_is_raised_and_the_largest_is_the_largest(array: Array, wrong: Statistics) -> None:
    value = KnownValue(array, array.dtype.name, wrong)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read, outliers = distribution(value), outliers_of(value)
    finite = np.abs(array[np.isfinite(array)])
    if not finite.size:
        assert outliers.largest is None
        return
    assert outliers.largest is not None
    assert abs(array[outliers.largest]) == finite.max()
    assert read.outliers.largest == outliers.largest


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_scalar_that_is_not_finite(number: float) -> None:
    value = KnownValue(np.array(number), "float64", Statistics(1, 1.0, 1.0, 0.0, 1.0, 1.0, 0, 0, 0, 0))
    assert outliers_of(value).largest is None
    assert not distribution(value).histograms[HistogramScale.LINEAR].counts.any()
