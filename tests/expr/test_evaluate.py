"""What the names stand for, against numpy on arrays written by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.expr.made import EXPERTS, FIRST, SELECTION, ask, layers, made
from tracetui.expr.evaluate import evaluate
from tracetui.expr.moment import TraceScope
from tracetui.expr.parse import parse
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import ArrayValue

LAYER = "model.layers.1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("norm", float(np.linalg.norm(3 * FIRST))),
        ("mean", float((3 * FIRST).mean())),
        ("std", float((3 * FIRST).std())),
        ("min", -9.0),
        ("max", 24.0),
        ("absmax", 24.0),
        ("zeros", 1),
        ("numel", 12),
        ("layer", 1),
        ("step", 9),
        ("pass_", 0),
        ("shape[1]", 3),
        ("shape == (1, 3, 4)", 1),
        ("shape != (1, 3, 4)", 0),
        ("shape == prev.shape", 1),
        ("norm == 3 * prev.norm", 1),
        ("norm > 3.1 * prev.norm", 0),
        ("value[0,-1,3]", 24),
        ("prev.value[0,-1,3]", 8),
        ("value[0,:,3].max", 24),
        ("value[0,:2].norm", float(np.linalg.norm(3 * FIRST[0, :2]))),
        ("abs(min) - 9", 0),
        ("0 < 1 < 3 > 2", 1),
        ("2 ** 3 + 7 // 2 - 7 % 4", 8),
        ("not nan and not inf", 1),
    ],
)
def test_numbers(text: str, expected: float) -> None:
    assert ask(text, LAYER).value == pytest.approx(expected)


def test_values_that_are_not_finite_are_counted_apart() -> None:
    array = np.array([[np.nan, np.inf, -np.inf, 0.0]], np.float32)
    trace = made(("model.layers.0.mlp", array), ("model.layers.0.mlp:selection_scores", array))
    assert ask("nan", "model.layers.0.mlp", trace).value == 1
    assert ask("inf", "model.layers.0.mlp", trace).value == 2
    assert ask("inf", "model.layers.0.mlp:selection_scores", trace).value == 1, "-inf says there what is hidden"
    assert ask("value[0].inf", "model.layers.0.mlp", trace).value == 2


def test_routing_is_asked_of_the_block_around() -> None:
    for site in ("model.layers.1.mlp:experts", "model.layers.1.mlp"):
        assert ask("expert(1)", site).value == 2
        assert ask("load(0)", site).value == pytest.approx((EXPERTS == 0).mean())
        assert ask("load()", site).value == pytest.approx(1 / 3)
        gap = min(0.5 - 0.4, 0.75 - 0.7, 0.55 - 0.2)
        assert ask("margin", site).value == pytest.approx(gap, rel=1e-5)
    assert ask("expert(99)", "model.layers.1.mlp").value is None
    assert "or not yet" in ask("expert(1)", "model.layers.1.mlp.gate").why
    assert SELECTION.shape[1] == 4


def test_even_attention_has_the_entropy_of_its_length() -> None:
    expected = np.mean([0.0, 1.0, math.log2(3)])
    assert ask("entropy(head=1)", "model.layers.0.self_attn").value == pytest.approx(expected, abs=1e-6)
    assert ask("entropy()", "model.layers.0.self_attn").value == pytest.approx(expected, abs=1e-6)
    assert ask("entropy(head=2)", "model.layers.0.self_attn").value is None
    assert ask("entropy(head=0)", "model.layers.0.self_attn:q").value is None, "the keys are not there yet"


def test_what_cannot_be_told_does_not_hold_and_says_why() -> None:
    assert "no layer before" in ask("norm > prev.norm", "model.layers.0").why
    assert "no such place" in ask("value[0,9,9] > 1", LAYER).why
    assert "not kept" in ask("value[0] > 1", "model.layers.0", made(("model.layers.0", FIRST), kept=False)).why
    assert ask("1 / 0", LAYER).value is None
    assert ask("layer > 0", "model.embed_tokens").value is None


def test_and_and_or_see_past_what_cannot_be_told() -> None:
    assert ask("layer > 0 or norm > 0", "model.embed_tokens").value == 1
    assert ask("layer > 0 and norm < 0", "model.embed_tokens").value == 0
    assert ask("layer > 0 and norm > 0", "model.embed_tokens").value is None


def test_only_what_is_named_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def statistics(value: ArrayValue) -> Statistics:
        asked.append(str(value.shape))
        raise AssertionError

    monkeypatch.setattr(ArrayValue, "statistics", statistics)
    trace = layers()
    found = evaluate(parse("layer == 0 and norm > 3"), TraceScope(trace).moment(trace.records[-1]))
    assert found.value == 0
    assert not asked


def test_the_numbers_that_decided_are_told_as_they_were_typed() -> None:
    told = dict(ask("norm > 3 * prev.norm or value[0,0,0] < 0", LAYER).told)
    assert list(told) == ["norm", "prev.norm", "value[0, 0, 0]"]
    assert told["norm"] == pytest.approx(3 * told["prev.norm"])


def test_a_part_is_an_array_only_where_that_is_asked_for() -> None:
    found = ask("value[0,1]", LAYER, parts=True).value
    assert isinstance(found, np.ndarray)
    assert found.tolist() == (3 * FIRST[0, 1]).tolist()
    assert "not one element" in ask("value[0,1] > 3", LAYER).why


def test_without_a_finite_element_there_is_no_size_to_tell() -> None:
    trace = made(("model.layers.0", np.full_like(FIRST, np.nan)))
    assert ask("norm > 3", "model.layers.0", trace).why == "no element is finite"
    assert ask("nan == numel and zeros == 0", "model.layers.0", trace).value == 1
