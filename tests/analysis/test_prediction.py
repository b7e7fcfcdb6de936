"""Next tokens from logits that may be no numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.diff.made import trace_of
from tests.tiny_moe import DEEPSEEK, whole_trace
from tracetui.analysis.prediction import next_tokens, probabilities, scores_of_tokens
from tracetui.recording.outline import Module
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


@pytest.mark.parametrize(
    ("width", "tables", "known"),
    [
        (65, [(65, 8), (16, 8)], True),  # a head over the characters, beside a table of positions
        (8, [(65, 8), (16, 8)], False),  # what the last norm returns
        (8, [(8, 8)], False),  # as wide as there are tokens: either
        (65, [], False),
    ],
)
def test_a_bare_tensor_is_scores_where_it_has_one_for_each_row_of_a_table(
    width: int, tables: list[tuple[int, int]], known: bool
) -> None:
    output = np.zeros((1, 3, width), np.float32)
    output[0, 2, 5] = 9
    modules = tuple(Module(f"e{at}", "Embedding", 0, (("weight", shape),)) for at, shape in enumerate(tables))
    trace = replace(trace_of({"output": output}, tokens=[[1, 2, 3]]), outline=Module("", "Mine", 0, children=modules))
    assert [found.token.id for found in next_tokens(trace, 1)] == ([5] if known else [])
    assert (scores_of_tokens(trace) is not None) == known
