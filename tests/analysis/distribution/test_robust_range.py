"""What counts as an outlier among few numbers, and when a chart goes by decades."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.distribution.robust_range import by_decades, robust_range_of


def test_a_point_far_from_all_others_is_left_out_of_a_chart_s_range() -> None:
    points = np.array([1.0, 1.2, 0.9, 1.1, 1.3, 0.8, 1.0, np.nan, 900.0])
    found = robust_range_of(points)
    assert (found.low, found.high, found.cut_low, found.cut_high) == (0.8, 1.3, False, True)
    calm = robust_range_of(points[:-1])
    assert (calm.low, calm.high, calm.cut) == (0.8, 1.3, False)
    assert not robust_range_of(np.array([np.nan])).cut
    assert not robust_range_of(np.array([2.0, 2.0])).cut


def test_a_chart_goes_by_decades_where_its_values_span_two_and_all_have_a_logarithm() -> None:
    assert by_decades(np.array([0.5, 3.0, 50.0, np.nan]))
    assert not by_decades(np.array([0.5, 3.0, 49.0]))
    assert not by_decades(np.array([0.0, 3.0, 5000.0]))
    assert not by_decades(np.array([np.nan, np.inf]))
