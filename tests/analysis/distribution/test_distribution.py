"""Counts add up to the finite elements, block by block or at once, on every scale and for every dtype."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracetui.analysis.distribution import distribution as module
from tracetui.analysis.distribution.blocks import blocks
from tracetui.analysis.distribution.distribution import distribution
from tracetui.analysis.distribution.histogram import Histogram, HistogramScale
from tracetui.analysis.distribution.outliers import outliers_of
from tracetui.recording.statistics import Statistics, of_array
from tracetui.recording.value import Array, ArrayValue, Index

LINEAR, SYMLOG, FULL = HistogramScale
FLOATS = st.sampled_from([np.float16, np.float32, np.float64])
REALS = hnp.arrays(FLOATS, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
WHOLES = hnp.arrays(
    st.sampled_from([np.bool_, np.uint8, np.int16, np.int64]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
)
TAME = st.floats(-1e6, 1e6, width=32)


class Watched:
    """A value that remembers the largest part it was asked for."""

    def __init__(self, array: Array) -> None:
        self._value = ArrayValue(array)
        self.shape, self.dtype = self._value.shape, self._value.dtype
        self.largest = 0

    def read(self, index: Index = ()) -> Array:
        part = self._value.read(index)
        self.largest = max(self.largest, part.size)
        return part

    def statistics(self) -> Statistics:
        return self._value.statistics()


def full(array: Array, bins: int = 128) -> Histogram:
    """The histogram over the whole range."""
    histograms = distribution(ArrayValue(array), bins).histograms
    return histograms.get(FULL, histograms[LINEAR])


def with_outliers() -> Array:
    """A thousand ordinary numbers, two that are far above and three far below."""
    array = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    array[[3, 500]] = 22550, 900
    array[[4, 77, 999]] = -300, -200, -100
    return array.reshape(50, 20)


@given(REALS, st.integers(1, 40))
@example(np.array([0.0, -0.0, 5e-324, -5e-324]), 40)
@example(np.array([3.4e38, -3.4e38, np.inf], np.float32), 40)
@example(np.array([1.79e308, -1.79e308]), 3)
def test_every_finite_element_is_counted_once(array: Array, bins: int) -> None:
    wide = array.astype(np.float64)
    for scale, histogram in distribution(ArrayValue(array), bins).histograms.items():
        assert histogram.scale is scale
        assert histogram.finite == np.isfinite(wide).sum()
        assert min(histogram.below, histogram.above) >= 0
        assert (histogram.nan, histogram.posinf, histogram.neginf) == (
            np.isnan(wide).sum(),
            (wide == np.inf).sum(),
            (wide == -np.inf).sum(),
        )
        assert 1 <= len(histogram.counts) <= max(bins, 2)
        assert len(histogram.edges) == len(histogram.counts) + 1
        assert np.isfinite(histogram.edges).all()
        assert (np.diff(histogram.edges) > 0).all()
        places = histogram.positions(histogram.edges)
        assert places[0] == 0
        assert places[-1] == 1
        assert (np.diff(places) >= 0).all()


@given(hnp.arrays(FLOATS, st.integers(2, 60), elements=TAME), st.integers(2, 20), st.sampled_from([0, 1e7, -1e9]))
def test_counts_and_tails_are_those_of_their_edges(array: Array, bins: int, far: float) -> None:
    with np.errstate(over="ignore"):
        array = np.append(array, np.array([far], array.dtype))
    wide = array[np.isfinite(array)].astype(np.float64)
    assume(wide.size)
    for histogram in distribution(ArrayValue(array), bins).histograms.values():
        for at, (low, high) in enumerate(zip(histogram.edges[:-1], histogram.edges[1:], strict=True)):
            last = at == len(histogram.counts) - 1
            inside = (wide >= low) & ((wide <= high) if last else (wide < high))
            assert histogram.counts[at] == inside.sum()
        assert histogram.below == (wide < histogram.edges[0]).sum()
        assert histogram.above == (wide > histogram.edges[-1]).sum()
        assert (histogram.low, histogram.high) == (wide.min(), wide.max())


@given(WHOLES, st.integers(1, 40))
@example(np.array([-(2**15), 2**15 - 1], np.int16), 7)
@example(np.array([0, 2**55 + 8], np.int64), 7)
def test_every_bin_of_whole_numbers_holds_as_many_of_them(array: Array, bins: int) -> None:
    histograms = distribution(ArrayValue(array), bins).histograms
    for histogram in (histograms[LINEAR], full(array, bins)):
        assert histogram.finite == array.size
        assert len(histogram.counts) <= bins
        if array.size and abs(int(array.max())) < 2**50 and abs(int(array.min())) < 2**50:
            widths = {float(width) for width in np.diff(histogram.edges)}
            assert widths == {float(histogram.edges[1] - histogram.edges[0])}
            assert (histogram.edges % 1 == 0.5).all()


def test_experts_and_booleans_get_a_bin_each() -> None:
    experts = full(np.array([[0, 3], [3, 2]]), bins=64)
    assert experts.counts.tolist() == [1, 0, 1, 2]
    assert experts.edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert full(np.array([True, False, True])).counts.tolist() == [1, 2]


@given(REALS, st.integers(1, 7))
def test_blocks_change_nothing(array: Array, limit: int) -> None:
    whole = distribution(ArrayValue(array), 9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", limit)
        watched = Watched(array)
        parts = distribution(watched, 9)
        assert watched.largest <= limit
    assert parts.robust == whole.robust
    assert parts.outliers.largest == whole.outliers.largest
    statistics = of_array(array)
    if not 0 < statistics.std < 1e-9 * statistics.absmax:  # else it is of what rounding left
        assert parts.outliers.kurtosis == pytest.approx(whole.outliers.kurtosis, nan_ok=True)
    for scale, histogram in whole.histograms.items():
        assert parts.histograms[scale].counts.tolist() == histogram.counts.tolist()


@given(st.lists(st.integers(0, 5), max_size=4), st.integers(1, 50))
def test_blocks_cover_an_array_once_within_the_limit(shape: list[int], limit: int) -> None:
    seen = np.zeros(shape, np.int64)
    for index in blocks(tuple(shape), limit):
        assert seen[index].size <= limit
        seen[index] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 0)),
        np.full(4, np.nan),
        np.array([np.inf, -np.inf]),
        np.array(7.5),
        np.full(3, 1.7e308),
        np.array([-1.7e308, 0, 1.7e308]),
        np.array([1.0, np.nextafter(1.0, 2.0)]),
        np.array([5e-324, 0.0]),
        np.array([2**62, 2**62 + 1]),
        np.array([0.0, *[-3.4e38] * 9], np.float32),
        np.array([3 + 4j, np.nan + 1j, 1j]),
    ],
)
def test_extremes_have_a_distribution(array: Array) -> None:
    elements = distribution(ArrayValue(array))
    for histogram in elements.histograms.values():
        assert histogram.finite == of_array(array).finite_count
        assert np.isfinite(histogram.edges).all()
    assert (elements.outliers.largest is None) == (of_array(array).finite_count == 0)


def test_complex_numbers_count_with_their_magnitude() -> None:
    histogram = full(np.array([3 + 4j, -5 + 0j, 0j]), bins=5)
    assert (histogram.low, histogram.high, histogram.counts[0], histogram.counts[-1]) == (0, 5, 1, 2)


def test_bf16_values_are_counted_as_real_numbers() -> None:
    elements = distribution(ArrayValue(np.array([0.0, 0.5, 1.0], np.float32), "bfloat16"), bins=2)
    assert elements.histograms[LINEAR].counts.tolist() == [1, 2]
    assert elements.histograms[LINEAR].edges.tolist() == [0.0, 0.5, 1.0]


def test_a_few_outliers_are_left_out_and_counted() -> None:
    elements = distribution(ArrayValue(with_outliers()))
    linear = elements.histograms[LINEAR]
    assert elements.fitting is LINEAR
    assert (linear.below, linear.above) == (3, 2)
    assert -4 < linear.edges[0] < linear.edges[-1] < 4
    assert (linear.low, linear.high) == (-300, 22550)
    assert elements.histograms[FULL].edges[[0, -1]].tolist() == [-300, 22550]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_ordinary_numbers_have_no_outliers(scale: float) -> None:
    generator = np.random.default_rng(0)
    for array in (generator.standard_normal(20000), generator.uniform(3, 4, 5000), generator.laplace(size=20000)):
        elements = distribution(ArrayValue(scale * array))
        assert not elements.robust.cut
        assert elements.fitting is LINEAR
        assert FULL not in elements.histograms


def test_zeros_of_a_mask_do_not_make_outliers_of_the_rest() -> None:
    rows = np.tril(np.random.default_rng(0).uniform(0.2, 1, (40, 40)))
    rows[20:] = 0
    assert not distribution(ArrayValue(rows)).robust.cut


def test_numbers_of_many_sizes_are_shown_by_decades() -> None:
    sizes = np.exp(3 * np.random.default_rng(0).standard_normal(5000))
    for array in (sizes, np.concatenate([sizes, -sizes, np.zeros(3000)])):
        elements = distribution(ArrayValue(array), bins=40)
        assert elements.fitting is SYMLOG
        # Linear bins over the whole range: nearly all beside zero. By decades: nowhere more than a part.
        assert np.sort(full(array, bins=40).counts)[-2:].sum() > 0.9 * len(array)
        assert elements.histograms[SYMLOG].counts.max() < 0.5 * len(array)


def test_where_the_largest_element_is_and_whose_squares() -> None:
    array = with_outliers()
    outliers = distribution(ArrayValue(array)).outliers
    assert outliers.largest == divmod(int(np.abs(array).argmax()), 20)
    assert outliers.value == 22550
    squares = np.square(array.astype(np.float64)).sum(axis=0)
    assert outliers.channel == squares.argmax()
    assert outliers.share == pytest.approx(squares.max() / squares.sum())
    wide = array.astype(np.float64)
    assert outliers.kurtosis == pytest.approx((((wide - wide.mean()) / wide.std()) ** 4).mean())


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-1e3, 1e3)), st.lists(st.integers(0, 11), max_size=4))
def test_what_is_not_finite_is_no_outlier(array: npt.NDArray[np.float64], bad: list[int]) -> None:
    array.flat[bad] = ([np.nan, np.inf, -np.inf, np.nan])[: len(bad)]
    outliers = distribution(ArrayValue(array)).outliers
    finite = np.where(np.isfinite(array), array, 0)
    assert outliers.largest is not None
    assert abs(array[outliers.largest]) == np.abs(finite).max() == abs(outliers.value)
    squares = np.square(finite).sum(axis=0)
    if squares.sum() > 1e-300:
        assert outliers.share == pytest.approx(squares.max() / squares.sum())
    if (std := finite[np.isfinite(array)].std()) > 1e-9:
        spread = (finite[np.isfinite(array)] - finite[np.isfinite(array)].mean()) / std
        assert outliers.kurtosis == pytest.approx((spread**4).mean())


def test_one_number_has_no_tails() -> None:
    outliers = distribution(ArrayValue(np.full((2, 3), -7.0))).outliers
    assert math.isnan(outliers.kurtosis)
    assert (outliers.largest, outliers.value, outliers.channel) == ((0, 0), -7, 0)
    assert distribution(ArrayValue(np.array([4.0, 1.0]))).outliers.channel is None


def test_once_cancelled_no_more_is_read() -> None:
    watched = Watched(np.ones((4, 5)))
    elements = distribution(watched, is_cancelled=lambda: True)
    assert watched.largest == 0
    assert elements.histograms[LINEAR].finite == 0


def test_further_channels_are_named_where_they_are_outliers_among_channels() -> None:
    values = np.random.default_rng(0).normal(size=(20, 100)).astype(np.float32)
    assert outliers_of(ArrayValue(values)).further == ()
    values[3, 40], values[5, 41], values[6, 42], values[7, 43] = 200, 120, 100, 90
    outliers = outliers_of(ArrayValue(values))
    assert (outliers.channel, [channel for channel, _ in outliers.further]) == (40, [41, 42])
    squares = np.square(values.astype(np.float64)).sum(axis=0)
    assert [share for _, share in outliers.further] == pytest.approx((squares[[41, 42]] / squares.sum()).tolist())
