"""Each measure on a head made to do just that, and on one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from tracetui.analysis.attention.measures import HeadMeasures, measure
from tracetui.analysis.attention.scores import attention_at
from tracetui.recording.record import AttentionCall, Record, Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import ArrayValue

IDS = (9, 1, 2, 3, 1, 2, 3, 4)
T = len(IDS)
SITE = "model.layers.0.self_attn"


def measured(targets: list[int] | None, ids: tuple[int, ...] = IDS) -> HeadMeasures:
    """A causal head whose query i looks at key targets[i]; None: at all alike. Its values are ones."""
    scores = np.zeros((T, T), np.float32)
    if targets is not None:
        scores[np.arange(T), targets] = 40
    value = np.ones((1, 1, T, 4), np.float32)
    arrays = {"q": scores[None, None], "k": np.eye(T, dtype=np.float32)[None, None], "v": value, "heads": value}
    roles = enumerate(arrays.items())
    records = tuple(Record(i, f"{SITE}:{role}", array.shape, "float32", 0) for i, (role, array) in roles)
    values = tuple(ArrayValue(array) for array in arrays.values())
    tokens = (tuple(Token(token_id, b"x", special=False) for token_id in ids),)
    trace = Trace(RunInfo(), tokens, records, values, {f"{SITE}:q": AttentionCall(1.0, True, "sdpa")})
    view = attention_at(trace, records[0])
    assert view is not None
    measures, shares = measure(view, 0)
    assert (np.isneginf(shares) == np.triu(np.ones((T, T)), 1).astype(bool)).all()
    return measures


def test_a_sink_head_looks_at_the_first_token() -> None:
    head = measured([0] * T)
    assert (head.sink, head.entropy, head.previous) == pytest.approx((1, 0, 1 / 7), abs=1e-5)
    assert head.distance == pytest.approx(4, abs=1e-4)


def test_a_previous_token_head_looks_one_back() -> None:
    head = measured([max(0, place - 1) for place in range(T)])
    assert (head.previous, head.distance) == pytest.approx((1, 1), abs=1e-5)
    assert head.sink == pytest.approx(1 / 7, abs=1e-5)


def test_an_induction_head_looks_at_what_followed_the_token_earlier() -> None:
    assert measured([0, 1, 2, 3, 2, 3, 4, 7]).induction == pytest.approx(1, abs=1e-5)
    assert measured([0] * T).induction == pytest.approx(0, abs=1e-5)


def test_a_head_that_looks_everywhere_has_all_the_entropy() -> None:
    head = measured(None)
    assert head.entropy == pytest.approx(np.mean(np.log2(np.arange(2, T + 1))), abs=1e-4)
    assert head.norm == pytest.approx(2)


def test_where_no_token_repeats_there_is_no_induction() -> None:
    assert np.isnan(measured(None, tuple(range(T))).induction)
