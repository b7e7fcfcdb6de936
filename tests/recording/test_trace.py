"""Looking things up in a trace, whole or growing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.recording.made import small_trace
from tracetui.recording.record import Record, Token
from tracetui.recording.trace import EMPTY_TRACE, RunInfo, Trace
from tracetui.recording.value import ArrayValue, NotKeptError, StatisticsValue, Value, is_kept


def test_keys_lead_to_records_values_and_statistics() -> None:
    trace = small_trace()
    for record, value in zip(trace.records, trace.values, strict=True):
        assert trace.find(record.key) is record
        assert trace.value(record) is value
        assert trace.statistics(record) == value.statistics()
    assert np.array_equal(trace["logits"], trace["lm_head"])
    assert len(trace) == 6


def test_what_is_not_there_is_a_key_error() -> None:
    trace = small_trace()
    assert "model.layers.7" not in trace
    assert 7 not in trace
    with pytest.raises(KeyError, match=r"model\.layers\.7"):
        trace["model.layers.7"]
    assert trace.find("") is None


def test_a_growing_trace_finds_what_came_since() -> None:
    records: list[Record] = []
    values: list[Value] = []
    trace = Trace(RunInfo(), (), records, values, {})
    for index in range(5):
        site = f"layers.{index}"
        assert site not in trace
        values.append(ArrayValue(np.full(2, index)))
        records.append(Record(index, site, (2,), "int64", 1))
        assert trace[site][0] == index
    assert "layers.0" in trace


def test_an_empty_trace_holds_nothing() -> None:
    assert len(EMPTY_TRACE) == 0
    assert "logits" not in EMPTY_TRACE


def test_tokens_that_are_shown_beside_the_prompt_are_known() -> None:
    known = Token(7, b" the")
    trace = Trace(RunInfo(), (), (), (), {}, vocabulary={7: known})
    assert trace.token(7) is known
    assert trace.token(8) == Token(8, b"")


def test_what_is_read_is_the_callers_own() -> None:
    array = np.arange(6.0).reshape(2, 3)
    value = ArrayValue(array)
    value.read((0,))[:] = -1
    value.read()[:] = -1
    assert np.array_equal(array, np.arange(6.0).reshape(2, 3))
    assert np.array_equal(value.read((1, slice(0, 2))), [3, 4])


def test_values_that_were_not_kept_are_known_without_reading() -> None:
    statistics = ArrayValue(np.ones(3)).statistics()
    lost: Value = StatisticsValue((3,), "bfloat16", statistics)
    assert (lost.shape, lost.dtype, lost.statistics()) == ((3,), "bfloat16", statistics)
    assert not is_kept(lost)
    assert is_kept(ArrayValue(np.ones(3)))
    assert is_kept(ArrayValue(np.ones(())))
    with pytest.raises(NotKeptError):
        lost.read()
