"""A recording at a glance."""

from __future__ import annotations

import numpy as np

from tests.analysis.diff.made import trace_of
from tracetui.debugger.readings.overview import read_overview


def test_small_probabilities_of_next_tokens_never_read_as_none() -> None:
    logits = np.zeros((1, 2, 100_000), np.float32)  # [B,T,V]
    logits[0, -1, 7] = 1.0
    overview = dict(read_overview(trace_of({"logits": logits}, [[1, 2]])).rows)
    assert overview["next token"].startswith("#7 0.0027%  ")
