"""A run in columns, taken in at once or bit by bit, drawn in any width."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ui.recording import recorded
from tracetui.analysis.timeline.columns import edges_of, first_in
from tracetui.analysis.timeline.pyramid import MaxPyramid
from tracetui.analysis.timeline.timeline import Timeline
from tracetui.recording.statistics import without_finite
from tracetui.recording.trace import Trace
from tracetui.recording.value import StatisticsValue, Value


def taken_in(trace: Trace, *frontiers: int) -> Timeline:
    timeline = Timeline()
    for frontier in frontiers or (len(trace),):
        timeline.extend(trace, frontier, lambda: False, lambda: None)
    return timeline


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=400), st.integers(1, 60), st.booleans(), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_a_column_is_as_high_as_the_largest_in_it(norms: list[float], width: int, grows: bool, at_once: int) -> None:
    numbers, pyramid = np.array(norms), MaxPyramid()
    for first in range(0, len(numbers), at_once):
        pyramid.extend(numbers[first : first + at_once])
    edges, level = edges_of(len(numbers), width, grows)
    assert (edges[0], edges[-1]) == (0, len(numbers))
    assert 0 < len(edges) - 1 <= width
    assert (np.diff(edges) > 0).all()
    expected = [numbers[first:end].max() for first, end in pairwise(edges)]
    assert pyramid.maxima(edges, level).tolist() == expected


@pytest.mark.parametrize("count", [1, 7, 100, 101, 5000, 200_000])
def test_a_run_that_is_over_fills_the_width_and_one_that_grows_half_of_it_or_more(count: int) -> None:
    assert len(edges_of(count, 100, grows=False)[0]) - 1 == min(count, 100)
    assert min(count, 50) <= len(edges_of(count, 100, grows=True)[0]) - 1 <= 100


def test_what_grows_stays_where_it_is_until_it_no_longer_fits() -> None:
    before, after = edges_of(330, 100, grows=True)[0], edges_of(331, 100, grows=True)[0]
    assert before[:-1].tolist() == after[: len(before) - 1].tolist()


def test_layers_begin_where_their_first_record_is() -> None:
    trace = recorded()
    columns = taken_in(trace).columns(len(trace), grows=False)
    first = [next(record.index for record in trace.records if record.layer == layer) for layer in (0, 1)]
    assert columns.layers == ((first[0], 0), (first[1], 1))
    assert columns.passes == ((0, 0),)


def test_bit_by_bit_is_the_same_as_at_once() -> None:
    trace = recorded()
    parts, whole = taken_in(trace, 1, 2, 9, len(trace)), taken_in(trace)
    for width in (5, 30, 200):
        one, other = parts.columns(width, grows=False), whole.columns(width, grows=False)
        assert one.norms.tolist() == other.norms.tolist()
        assert one.layers == other.layers


def test_a_nan_is_seen_and_led_to_whatever_is_larger() -> None:
    trace = recorded()
    values: list[Value] = list(trace.values)
    values[6] = StatisticsValue((1, 2), "float32", without_finite(2, nan=2))
    timeline = taken_in(replace(trace, values=values))
    columns = timeline.columns(4, grows=False)
    assert columns.broken.tolist() == [True, False, False, False]
    assert timeline.most_telling(*columns.edges[:2].tolist()) == 6
    largest = timeline.most_telling(*columns.edges[1:3].tolist())
    assert timeline.norm(largest) == columns.norms[1]


def test_what_is_too_much_to_read_of_a_script_is_not_called_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = recorded()
    monkeypatch.setattr("tracetui.analysis.timeline.timeline._MOST_READ", 0)
    columns = taken_in(replace(trace, dump=True)).columns(4, grows=False)
    assert not columns.broken.any()
    assert np.isneginf(columns.norms).all()


def test_masks_and_numbers_of_experts_have_no_norm() -> None:
    trace = recorded()
    records = list(trace.records)
    records[1] = replace(records[1], site="model.layers.0.self_attn:mask")
    records[2] = replace(records[2], dtype="int64")
    norms = taken_in(replace(trace, records=records)).columns(len(records), grows=False).norms
    assert np.isneginf(norms[1:3]).all()
    assert np.isfinite(norms[3:]).all()


def test_another_run_is_told_from_one_that_goes_on() -> None:
    trace = recorded()
    timeline = taken_in(trace, 5)
    assert timeline.is_of(trace, 9)
    assert timeline.is_of(trace.closed(), 9)
    assert not timeline.is_of(trace, 4)
    assert not timeline.is_of(replace(trace, records=[replace(record) for record in trace.records]), 9)


def test_places_are_found_by_column_however_many_they_are() -> None:
    edges = np.array([0, 10, 20, 30])
    assert first_in(edges, [3, 4, 21]) == [(0, 0), (2, 2)]
    assert first_in(edges, list(range(30))) == [(0, 0), (1, 10), (2, 20)]
    assert first_in(edges, []) == []
