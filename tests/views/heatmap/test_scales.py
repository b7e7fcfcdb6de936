"""One scale for several matrices with outliers: what lies beyond is counted for each."""

from __future__ import annotations

import numpy as np
import pytest

from tracetui.recording.value import Array
from tracetui.views.heatmap.pyramid import common_scale
from tracetui.views.heatmap.scale import ScaleKind
from tracetui.views.heatmap.scales import counted, number_range, outlier_scales


def spread(seed: int, *far: float) -> Array:
    array = np.random.default_rng(seed).standard_normal((30, 40)).astype(np.float32)
    array.flat[: len(far)] = far
    return array


def test_outliers_do_not_take_the_colours_and_are_counted_where_they_are() -> None:
    one, two = spread(0, 22550, -900), spread(1, 22551)
    numbers = number_range([one, two])
    assert numbers is not None
    linear = outlier_scales([one, two], numbers, diverging=True)[ScaleKind.LINEAR]
    assert linear.high == -linear.low < 5
    apart = one - two
    beyond = [counted(linear, matrix).beyond for matrix in (one, two, apart)]
    assert beyond == [2, 1, (np.abs(apart) > linear.high).sum()]
    log = outlier_scales([one, two], numbers, diverging=True)[ScaleKind.LOG]
    assert (log.low, log.high) == (-22551, 22551)
    assert 0.5 < log.floor < 1


def test_without_outliers_the_linear_scale_is_the_whole_range() -> None:
    matrix = spread(0)
    numbers = number_range([matrix])
    assert numbers is not None
    linear = outlier_scales([matrix], numbers, diverging=True)[ScaleKind.LINEAR]
    assert linear == common_scale([matrix], ScaleKind.LINEAR, True)
    assert counted(linear, matrix).beyond == 0


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_matrices_without_a_finite_number_have_no_range(fill: float) -> None:
    assert number_range([np.full((2, 3), fill)]) is None
    assert number_range([spread(0)], lambda: True) is None
