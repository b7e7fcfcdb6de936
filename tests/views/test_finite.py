"""Statistics say of how many elements they are."""

from __future__ import annotations

import numpy as np
import pytest

from tracetui.recording.statistics import of_array
from tracetui.text import statistic
from tracetui.views.finite import finite_words


@pytest.mark.parametrize(
    ("values", "words", "norm"),
    [
        ([1.0, 2.0], "", "2.236"),
        ([np.nan, 3.0, np.inf], "numbers of the 1 finite element", "3"),
        ([np.nan, np.inf], "no finite element", "–"),
        ([], "", "–"),
    ],
)
def test_they_say_so(values: list[float], words: str, norm: str) -> None:
    found = of_array(np.array(values))
    assert finite_words(found) == words
    assert statistic(found.l2) == norm
