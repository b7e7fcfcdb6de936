"""The residual stream's norm: no number where it holds NaN, and where that began."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.residual import broken_from, residual_norms
from tracetui.export.report.layers import layer_part, residual_part
from tracetui.recording.trace import Trace


def broken(*places: tuple[int, ...]) -> Trace:
    """Three layers; from layer 1 on there is NaN at these places, or everywhere."""
    arrays = {f"model.layers.{layer}": normal(1, 4, 8, seed=layer) for layer in range(4)}
    arrays = {"model.layers.0:input": normal(1, 4, 8, seed=9), **arrays}
    for layer in (1, 2, 3):
        for place in places or ((...,),):
            arrays[f"model.layers.{layer}"][place] = np.nan
    return trace_of(arrays)


def test_a_stream_with_nan_has_no_norm_from_there_on() -> None:
    for trace in (broken(), broken((0, 2, 3))):
        points = residual_norms(trace)
        assert [math.isnan(point.l2) for point in points] == [False, False, True, True, True]
        first = broken_from(points)
        assert first is not None
        assert first.label == "1"
    assert broken_from(residual_norms(trace_of({"model.layers.0": normal(1, 4, 8)}))) is None


def test_a_mixture_of_several_streams_stands_beside_all_of_them() -> None:
    stack = normal(4, 1, 4, 8, seed=0)
    arrays = {"model.layers.0:input": stack, "model.layers.0:attn_residual": stack[2], "model.layers.0": stack}
    entering, mixed, after = (point.l2 for point in residual_norms(trace_of(arrays)))
    assert entering == after == pytest.approx(np.linalg.norm(stack))
    assert mixed == pytest.approx(2 * np.linalg.norm(stack[2]))


def test_the_report_has_dashes_and_says_where_it_began() -> None:
    trace = broken()
    assert "NaN or infinities from layer 1 on" in residual_part(trace)
    rows = layer_part(trace).split("<tr>")[3:]
    assert all("nan" not in row and ">0<" not in row for row in rows)
    assert all(row.count("–") >= 5 for row in rows)
