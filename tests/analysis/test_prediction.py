"""Next tokens from logits that may be no numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.analysis.diff.made import trace_of
from tests.tiny_moe import DEEPSEEK, whole_trace
from tracetui.analysis.prediction import next_tokens, probabilities
from tracetui.recording.value import ArrayValue


def test_a_logit_that_is_nan_is_none_of_a_candidate() -> None:
    trace = whole_trace(DEEPSEEK).trace
    record = trace.find("logits")
    assert record is not None
    logits = np.full(record.shape, np.nan, np.float32)
    values = list(trace.values)
    values[record.index] = ArrayValue(logits.copy())
    assert next_tokens(replace(trace, values=values), 3) == ()
    logits[..., 2] = 1.0
    values[record.index] = ArrayValue(logits)
    assert [found.token.id for found in next_tokens(replace(trace, values=values), 3)] == [2]


def test_logits_of_no_token_have_no_probabilities() -> None:
    empty = trace_of({"logits": np.zeros((1, 1, 0), dtype=np.float32)}, tokens=[[1]])
    assert probabilities(empty) is None
    assert next_tokens(empty, 3) == ()
