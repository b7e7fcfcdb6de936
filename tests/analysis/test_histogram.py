"""Counts add up to the finite elements, block by block or at once, for every dtype."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracetui.analysis import histogram as module
from tracetui.analysis.histogram import blocks, histogram
from tracetui.recording.statistics import Statistics, of_array
from tracetui.recording.value import Array, ArrayValue, Index

FLOATS = st.sampled_from([np.float16, np.float32, np.float64])
REALS = hnp.arrays(FLOATS, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
WHOLES = hnp.arrays(
    st.sampled_from([np.bool_, np.uint8, np.int16, np.int64]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
)


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


@given(REALS, st.integers(1, 40))
def test_every_finite_element_is_counted_once(array: Array, bins: int) -> None:
    found = histogram(ArrayValue(array), bins)
    wide = array.astype(np.float64)
    assert found.finite == np.isfinite(wide).sum()
    assert (found.nan, found.posinf, found.neginf) == (
        np.isnan(wide).sum(),
        (wide == np.inf).sum(),
        (wide == -np.inf).sum(),
    )
    assert 1 <= len(found.counts) <= bins
    assert len(found.edges) == len(found.counts) + 1
    assert np.isfinite(found.edges).all()
    assert (np.diff(found.edges) > 0).all()


@given(hnp.arrays(np.float64, st.integers(2, 60), elements=st.floats(-1e6, 1e6)), st.integers(1, 20))
def test_counts_are_those_of_their_edges(array: npt.NDArray[np.float64], bins: int) -> None:
    found = histogram(ArrayValue(array), bins)
    for at, (low, high) in enumerate(zip(found.edges[:-1], found.edges[1:], strict=True)):
        last = at == len(found.counts) - 1
        inside = (array >= low) & ((array <= high) if last else (array < high))
        assert found.counts[at] == inside.sum()
    assert (found.low, found.high) == (array.min(), array.max())


@given(WHOLES, st.integers(1, 40))
@example(np.array([-(2**15), 2**15 - 1], np.int16), 7)
@example(np.array([0, 2**55 + 8], np.int64), 7)
def test_every_bin_of_whole_numbers_holds_as_many_of_them(array: Array, bins: int) -> None:
    found = histogram(ArrayValue(array), bins)
    assert found.finite == array.size
    assert len(found.counts) <= bins
    if array.size and abs(int(array.max())) < 2**50 and abs(int(array.min())) < 2**50:
        assert {float(width) for width in np.diff(found.edges)} == {float(found.edges[1] - found.edges[0])}
        assert (found.edges % 1 == 0.5).all()


def test_experts_and_booleans_get_a_bin_each() -> None:
    experts = histogram(ArrayValue(np.array([[0, 3], [3, 2]])), bins=64)
    assert experts.counts.tolist() == [1, 0, 1, 2]
    assert experts.edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert histogram(ArrayValue(np.array([True, False, True]))).counts.tolist() == [1, 2]


@given(REALS, st.integers(1, 7))
def test_blocks_change_nothing(array: Array, limit: int) -> None:
    whole = histogram(ArrayValue(array), 9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", limit)
        watched = Watched(array)
        assert histogram(watched, 9).counts.tolist() == whole.counts.tolist()
        assert watched.largest <= limit


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
    ],
)
def test_extremes_have_a_histogram(array: Array) -> None:
    found = histogram(ArrayValue(array))
    assert found.finite == of_array(array).numel - of_array(array).nan - np.isinf(array.astype(float)).sum()
    assert np.isfinite(found.edges).all()


def test_complex_numbers_count_with_their_magnitude() -> None:
    found = histogram(ArrayValue(np.array([3 + 4j, -5 + 0j, 0j])), bins=5)
    assert (found.low, found.high, found.counts[0], found.counts[-1]) == (0, 5, 1, 2)


def test_bf16_values_are_counted_as_real_numbers() -> None:
    found = histogram(ArrayValue(np.array([0.0, 0.5, 1.0], np.float32), "bfloat16"), bins=2)
    assert found.counts.tolist() == [1, 2]
    assert found.edges.tolist() == [0.0, 0.5, 1.0]
