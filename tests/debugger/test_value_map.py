"""The map of a matrix: exact numbers, scales that outliers don't take, and bounded memory for a large one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracetui.analysis.axes import Axis
from tracetui.debugger.readings import value_map as module
from tracetui.debugger.readings.planes import Plane
from tracetui.debugger.readings.value_map import ValueMap, read_value_map
from tracetui.recording.value import Array, ArrayValue, Index
from tracetui.views.heatmap import scales
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.scale import ScaleKind


class Counting(ArrayValue):
    """Remembers the largest part it was asked for."""

    largest = 0

    def read(self, index: Index = ()) -> Array:
        part = super().read(index)
        self.largest = max(self.largest, part.size)
        return part


def mapped(array: Array) -> ValueMap:
    rows, columns = array.shape
    axes = LabelledAxis.of("token", rows), LabelledAxis.of("channel", columns)
    return read_value_map(ArrayValue(array), Plane(Axis("T", rows), Axis("D", columns)), *axes)


def massive() -> Array:
    array = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)
    array[0, 7], array[3, 9] = 22550, -800
    return array


def test_the_linear_scale_ends_where_almost_all_lie_and_counts_the_rest() -> None:
    array = massive()
    scale = mapped(array).picture.pyramids[ScaleKind.LINEAR].scale
    assert (scale.diverging, scale.beyond) == (True, 2)
    assert scale.high == -scale.low < 5
    assert (np.abs(array) > scale.high).sum() == 2
    assert mapped(np.delete(array, [0, 3], axis=0)).picture.pyramids[ScaleKind.LINEAR].scale.beyond == 0


def test_the_decades_begin_where_half_of_the_numbers_are_and_end_at_the_largest() -> None:
    scale = mapped(massive()).picture.pyramids[ScaleKind.LOG].scale
    assert (scale.low, scale.high) == (-22550, 22550)
    assert scale.floor == pytest.approx(0.674, rel=0.1)
    probabilities = mapped(np.abs(massive())).picture.pyramids[ScaleKind.LOG].scale
    assert not probabilities.diverging


@given(hnp.arrays(st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.bool_]), (3, 4)), st.booleans())
def test_any_matrix_has_a_map(array: Array, is_held: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_HELD", 12 if is_held else 11)
        shown = mapped(array)
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if not np.isfinite(narrow).any():
        assert shown.picture.empty
        return
    assert shown.lacks(1, 2) is not is_held
    if is_held:
        assert np.array_equal(shown.picture.values, narrow, equal_nan=True)
    assert shown.read_cell(1, 2) == f"{float(array[1, 2]):.5g}"


def test_a_large_matrix_is_read_in_blocks_and_its_numbers_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELD", 100)
    monkeypatch.setattr(scales, "BLOCK", 128)
    value = Counting(massive())
    axes = LabelledAxis.of("token", 40), LabelledAxis.of("channel", 64)
    shown = read_value_map(value, Plane(Axis("T", 40), Axis("D", 64)), *axes)
    assert value.largest <= 40 * 64
    assert shown.picture.named is not None
    assert shown.picture.named(0, 7) == "…"
    shown.cells[0, 7] = shown.read_cell(0, 7)
    assert shown.picture.named(0, 7) == "22550"
    whole = mapped(massive())
    for kind, pyramid in shown.picture.pyramids.items():
        assert (pyramid.levels[0] == whole.picture.pyramids[kind].levels[0]).all()


def test_once_cancelled_there_is_no_map() -> None:
    axes = LabelledAxis.of("token", 40), LabelledAxis.of("channel", 64)
    plane = Plane(Axis("T", 40), Axis("D", 64))
    assert read_value_map(ArrayValue(massive()), plane, *axes, lambda: True).picture.empty
