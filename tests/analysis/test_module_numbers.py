"""What a run did in each module, and the modules in that order."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.ui.recording import recorded, without_values
from tracetui.analysis.module_numbers import ModuleBook, SortBy, sorted_paths, token_norms
from tracetui.recording.record import layer_before
from tracetui.recording.statistics import without_finite
from tracetui.recording.trace import Trace
from tracetui.recording.value import StatisticsValue, Value

TRACE = recorded()
MLP = "model.layers.1.mlp"


def taken_in(trace: Trace) -> ModuleBook:
    book = ModuleBook()
    for frontier in (3, 4, len(trace)):
        book.extend(trace, frontier)
    return book


def ranked(trace: Trace, by: SortBy, text: str = "") -> tuple[str, ...]:
    return sorted_paths(taken_in(trace), trace, 0, by, text, lambda: False)[0]


def test_a_module_has_its_norm_and_how_much_that_grew_over_a_layer() -> None:
    numbers = taken_in(TRACE).numbers(TRACE, MLP, 0)
    assert numbers is not None
    norms = [float(np.linalg.norm(TRACE[f"model.layers.{layer}.mlp"].astype(np.float64))) for layer in (0, 1)]
    assert numbers.norm == pytest.approx(norms[1], rel=1e-6)
    assert numbers.growth == pytest.approx(norms[1] / norms[0], rel=1e-6)
    first = taken_in(TRACE).numbers(TRACE, "model.layers.0.mlp", 0)
    assert first is not None
    assert math.isnan(first.growth)
    assert taken_in(TRACE).numbers(TRACE, "model.layers", 0) is None


def test_modules_stand_in_the_order_of_what_is_asked_for() -> None:
    norms = [float(np.linalg.norm(TRACE[path].astype(np.float64))) for path in ranked(TRACE, SortBy.NORM)]
    np.testing.assert_allclose(norms, sorted(norms, reverse=True), rtol=1e-6)
    assert {path.split(".")[2] for path in ranked(TRACE, SortBy.GROWTH)} == {"1"}
    assert ranked(TRACE, SortBy.NORM, "down_PROJ") in (
        ("model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"),
        ("model.layers.1.mlp.down_proj", "model.layers.0.mlp.down_proj"),
    )
    assert ranked(TRACE, SortBy.BROKEN) == ()


def test_where_nan_began_stands_first() -> None:
    values: list[Value] = list(TRACE.values)
    places = [record.index for record in TRACE.records if record.site in (MLP, "model.layers.1")]
    for place in places:
        values[place] = StatisticsValue((2,), "float32", without_finite(2, nan=2))
    assert ranked(replace(TRACE, values=values), SortBy.BROKEN) == (MLP, "model.layers.1")
    assert MLP not in ranked(replace(TRACE, values=values), SortBy.NORM)


def test_a_trend_goes_over_the_prompt_s_tokens_or_over_passes() -> None:
    book = taken_in(TRACE)
    tokens = book.trend(TRACE, MLP, 0, 0, 8)
    assert tokens is not None
    expected = np.linalg.norm(TRACE[MLP][0].astype(np.float64), axis=1)
    np.testing.assert_allclose(tokens, expected, rtol=1e-6)
    assert taken_in(without_values(TRACE)).trend(without_values(TRACE), MLP, 0, 0, 8) is None
    count = len(TRACE)
    later = [replace(record, index=record.index + count, pass_=1) for record in TRACE.records]
    twice = replace(TRACE, records=(*TRACE.records, *later), values=(*TRACE.values, *TRACE.values))
    trend = taken_in(twice).trend(twice, MLP, 0, 0, 8)
    assert trend is not None
    assert trend.tolist() == [pytest.approx(np.sqrt(np.square(TRACE[MLP].astype(np.float64)).mean()))] * 2


def test_what_has_no_tokens_has_no_norms_of_tokens() -> None:
    q = TRACE.find("model.layers.0.self_attn:q")
    assert q is not None
    assert token_norms(TRACE, q, 0) is None


def test_the_same_place_in_the_layer_before() -> None:
    assert layer_before("model.layers.10.mlp") == "model.layers.9.mlp"
    assert layer_before("h.1") == "h.0"
    assert layer_before("model.layers.0.mlp") == layer_before("lm_head") == ""
