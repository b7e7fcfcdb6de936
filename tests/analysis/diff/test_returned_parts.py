"""A router that returns its logits alone, beside one that returns scores, logits and a choice under the same name."""

from __future__ import annotations

import numpy as np

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue
from tracetui.views.diff.report import verdict

ROUTER = "model.layers.0.feed_forward.router"


def _traced(*parts: Array) -> Trace:
    """A layer whose router returned these."""
    before, after = normal(6, 8), normal(6, 8, seed=1)
    plain = trace_of({"model.layers.0.post_attention_layernorm": before})
    records = [
        Record(1 + part, ROUTER, array.shape, str(array.dtype), 3, parent="model.layers.0.feed_forward", part=part)
        for part, array in enumerate(parts)
    ]
    last = Record(1 + len(parts), "model.layers.0.feed_forward", after.shape, "float32", 2, parent="model.layers.0")
    return Trace(
        plain.run,
        (),
        (*plain.records, *records, last),
        (*plain.values, *map(ArrayValue, parts), ArrayValue(after)),
        {},
    )


def _returned(logits: Array) -> tuple[Array, Array, Array]:
    """Its scores of the chosen, its logits, and the experts."""
    experts = np.argsort(-logits, -1)[:, :2]
    scores = np.zeros_like(logits)
    np.put_along_axis(scores, experts, 1 / (1 + np.exp(-np.take_along_axis(logits, experts, -1))), -1)
    return scores, logits, experts


LOGITS = normal(6, 8, seed=2)


def _pairs(found: Report) -> set[tuple[str, str]]:
    return {(site.pair.a.record.key, site.pair.b.record.key) for site in found.comparison.sites}


def test_logits_stand_beside_logits_wherever_they_are_returned() -> None:
    for a, b in ((_traced(LOGITS), _traced(*_returned(LOGITS))), (_traced(*_returned(LOGITS)), _traced(LOGITS))):
        found = report(a, b)
        assert found.comparison.same, verdict(found)
        assert (a.records[-2].key, b.records[-2].key) not in _pairs(found)
        assert len(_pairs(found)) == 3


def test_weights_and_experts_in_another_order_are_known_by_their_values() -> None:
    scores, logits, experts = _returned(LOGITS)
    weights = np.take_along_axis(scores, experts, -1)
    found = report(_traced(weights[:, ::-1], experts[:, ::-1]), _traced(logits, weights, experts))
    assert {(ROUTER, f"{ROUTER}#1"), (f"{ROUTER}#1", f"{ROUTER}#2")} <= _pairs(found)
    assert not found.comparison.misfits


def test_other_logits_stay_where_they_are() -> None:
    found = report(_traced(LOGITS + normal(6, 8, seed=5)), _traced(LOGITS, *_returned(LOGITS)[::2]))
    assert (ROUTER, ROUTER) in _pairs(found)
    assert found.first is not None
    assert found.first.pair.a.record.key == ROUTER
