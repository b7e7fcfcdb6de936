"""A recording at a glance."""

from __future__ import annotations

import numpy as np

from tests.analysis.diff.made import trace_of
from tracetui.debugger.readings.overview import read_overview
from tracetui.views.charts.bars import percent


def test_small_probabilities_of_next_tokens_never_read_as_none() -> None:
    logits = np.zeros((1, 2, 100_000), np.float32)  # [B,T,V]
    logits[0, -1, 7] = 1.0
    (label, probability), *_ = read_overview(trace_of({"logits": logits}, [[1, 2]])).predictions
    assert [label, percent(probability)] == ["#7", "0.0027%"]


def test_it_is_told_between_which_norms_the_residual_goes_and_where_it_grows_most() -> None:
    streams = {"model.layers.0:input": 1.0, "model.layers.0": 2.0, "model.layers.1": 30.0, "model.layers.2": 33.0}
    arrays = {site: np.full((1, 1, 4), size / 2, np.float32) for site, size in streams.items()}  # [B,T,D]
    overview = dict(read_overview(trace_of(arrays, [[1]])).rows)
    assert overview["residual"] == "grows most in layer 1, ×15.0; norm 1.00 before the layers, 33.0 after"
    arrays["model.layers.1"][:] = np.nan
    assert "residual" not in dict(read_overview(trace_of(arrays, [[1]])).rows)
