"""What a token's choice of groups rests on."""

from __future__ import annotations

import numpy as np
import pytest

from tracetui.analysis.experts.choice import group_margin


def test_the_groups_margin_is_that_of_the_rank_that_explains_the_mask() -> None:
    scores = np.array([0.9, 0.1, 0.6, 0.55, 0.5, 0.5])
    by_two = group_margin(scores, np.array([True, False, True]))
    assert by_two is not None
    assert (by_two.last, by_two.next) == (1, 0)
    assert by_two.margin == pytest.approx(0.15)
    by_best = group_margin(scores, np.array([False, True, True]))
    assert by_best is not None
    assert (by_best.last, by_best.next) == (0, 1)
    assert by_best.margin == pytest.approx(0.3)
    assert group_margin(scores, np.array([False, True, False])) is None
    assert group_margin(scores, np.zeros(3, np.bool_)) is None
