"""The residual stream of an ordinary token: what one massive token doesn't change."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tests.ui.recording import without_values
from tracetui.analysis import residual_tokens as module
from tracetui.analysis.residual import broken_from, residual_norms
from tracetui.analysis.residual_tokens import ResidualMeasure, residual_sizes
from tracetui.recording.record import Token
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array


def stream(tokens: int = 9) -> dict[str, Array]:
    """Three layers; from the second on token 0 has an element of 22,550."""
    arrays = {f"model.layers.{layer}": normal(1, tokens, 8, seed=layer) for layer in range(3)}
    arrays = {"model.layers.0:input": normal(1, tokens, 8, seed=9), **arrays}
    for layer in (1, 2):
        arrays[f"model.layers.{layer}"][0, 0, 3] = 22550
    return arrays


def traced(arrays: dict[str, Array], tokens: int = 9, rows: int = 1) -> Trace:
    """A trace that knows its tokens."""
    row = tuple(Token(number, b"x") for number in range(tokens))
    return replace(trace_of(arrays), tokens=(row,) * rows)


def test_the_median_over_tokens_knows_nothing_of_a_massive_one() -> None:
    arrays = stream()
    sizes = residual_sizes(traced(arrays))
    assert (sizes.measure, sizes.sampled) == (ResidualMeasure.MEDIAN, False)
    medians = [np.median(np.linalg.norm(array[0], axis=1)) for array in arrays.values()]
    assert [point.l2 for point in sizes.points] == pytest.approx(medians)
    assert max(medians) < 10 < 22550 < residual_norms(traced(arrays))[-1].l2


def test_a_chosen_token_has_its_own_norm_where_the_pass_has_it() -> None:
    arrays = stream()
    for token in (0, 5):
        sizes = residual_sizes(traced(arrays), token=token)
        assert (sizes.measure, sizes.token) == (ResidualMeasure.SINGLE, token)
        norms = [np.linalg.norm(array[0, token]) for array in arrays.values()]
        assert [point.l2 for point in sizes.points] == pytest.approx(norms)
    assert residual_sizes(traced(arrays), token=9) == residual_sizes(traced(arrays))


def test_of_many_tokens_some_are_read_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TOKENS", 4)
    arrays = stream()
    sizes = residual_sizes(traced(arrays))
    assert sizes.sampled
    taken = [np.median(np.linalg.norm(array[0, ::3], axis=1)) for array in arrays.values()]
    assert [point.l2 for point in sizes.points] == pytest.approx(taken)
    arrays["model.layers.2"][0, 1, 1] = np.nan
    lost = broken_from(residual_sizes(traced(arrays)).points)
    assert lost is not None
    assert lost.label == "2"
    assert not math.isnan(residual_sizes(traced(arrays), token=2).points[-1].l2)


def test_without_values_all_places_have_the_whole_norm() -> None:
    trace = traced(stream())
    none = without_values(trace)
    some = replace(trace, values=(*trace.values[:-1], none.values[-1]))
    for lacking in (none, some):
        sizes = residual_sizes(lacking)
        assert sizes.measure is ResidualMeasure.WHOLE
        assert sizes.points == residual_norms(lacking)


def test_rows_and_streams_beside_each_other_are_told_apart() -> None:
    stack = normal(4, 1, 9, 8, seed=0)
    sizes = residual_sizes(traced({"model.layers.0:input": stack, "model.layers.0": stack}))
    assert sizes.points[0].l2 == pytest.approx(np.median(np.sqrt(np.square(stack).sum(axis=(0, 1, 3)))))
    rows = normal(2, 9, 8, seed=1)
    second = residual_sizes(traced({"model.layers.0:input": rows, "model.layers.0": rows}, rows=2), row=1)
    assert second.points[0].l2 == pytest.approx(np.median(np.linalg.norm(rows[1], axis=1)))


def test_a_file_that_knows_no_tokens_has_them_from_its_tensors() -> None:
    arrays = stream()
    unknown = replace(trace_of(arrays), tokens=())
    assert residual_sizes(unknown).points == residual_sizes(traced(arrays)).points
