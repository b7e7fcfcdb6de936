"""Stops as they are typed, where they hold, and how often."""

from __future__ import annotations

import numpy as np
import pytest

from tests.expr.made import FIRST, layers, made
from tracetui.errors import InputError
from tracetui.expr.errors import BadExpressionError
from tracetui.expr.stop import DEFAULT_STOPS, MOST_STOPS, Stop, parse_stop, parse_stops, with_defaults
from tracetui.expr.watcher import StopEvaluator, look_up
from tracetui.recording.trace import Trace


@pytest.mark.parametrize(
    ("text", "pattern", "condition", "shown"),
    [
        ("layers.7.mlp", "layers.7.mlp", None, "layers.7.mlp"),
        ("*.mlp if norm > 100", "*.mlp", "norm > 100", "*.mlp if norm > 100"),
        ("  *.gate   if  expert(17) ", "*.gate", "expert(17)", "*.gate if expert(17)"),
        ("nan", "*", "nan", "nan"),
        ("* if nan or inf", "*", "nan or inf", "if nan or inf"),
        ("norm > 3", "*", "norm > 3", "if norm > 3"),
        ("if norm > 3", "*", "norm > 3", "if norm > 3"),
        ("norm", "norm", None, "norm"),
        ("*:probs", "*:probs", None, "*:probs"),
    ],
)
def test_a_stop_is_a_site_a_condition_or_both(text: str, pattern: str, condition: str | None, shown: str) -> None:
    found = parse_stop(text)
    assert (found.pattern.text, found.condition and found.condition.text, found.text) == (pattern, condition, shown)
    assert parse_stop(shown) == found, "what is shown can be typed again"


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("*.mlp if nrom > 3", 9, "did you mean norm?"),
        ("a/b if norm", 1, "no site has this"),
        ("", 0, "a stop is"),
        ("*.mlp if", 8, "nothing stands here"),
        ("layers.3.mlp if *.mlp if norm > 3", 22, "a second `if`"),
        ("x" * 300, 200, "up to 200"),
    ],
)
def test_a_wrong_stop_is_refused_at_its_place(text: str, column: int, told: str) -> None:
    with pytest.raises(BadExpressionError) as caught:
        parse_stop(text, "--break")
    assert told in str(caught.value)
    assert str(caught.value).startswith("--break: ")
    assert caught.value.column == column


def test_many_stops_have_an_end_and_the_default_ones_stand_once() -> None:
    with pytest.raises(InputError, match="the most"):
        parse_stops([f"layers.{at}" for at in range(MOST_STOPS + 1)], "--break")
    assert with_defaults(parse_stops(["nan", "a", "a"], "--break")) == (*DEFAULT_STOPS, parse_stop("a"))
    assert with_defaults(parse_stops(["nan"], "--break"), default=False) == (parse_stop("nan"),)


def places(trace: Trace, *stops: Stop) -> list[str]:
    watcher = StopEvaluator(trace, stops)
    return [record.site for record in trace.records if watcher.look(record)]


def test_a_stop_holds_where_its_pattern_and_condition_do() -> None:
    trace = layers()
    assert places(trace, parse_stop("layers.1")) == ["model.layers.1"]
    assert places(trace, parse_stop("layers.? if norm > prev.norm")) == ["model.layers.1"]
    assert places(trace, parse_stop("*.mlp"), parse_stop("*.self_attn")) == [
        "model.layers.0.self_attn",
        "model.layers.1.mlp",
    ]


def test_what_a_router_chose_is_known_a_moment_after_it() -> None:
    assert places(layers(), parse_stop("*.gate if expert(3)")) == ["model.layers.1.mlp:experts"]
    assert places(layers(), parse_stop("*.gate if expert(9)")) == []


def test_a_condition_about_a_choice_alone_holds_once_a_block() -> None:
    assert places(layers(), parse_stop("if expert(3)")) == ["model.layers.1.mlp:experts"]
    assert places(layers(), parse_stop("if layer == 1 and expert(3)")) == ["model.layers.1.mlp:experts"]
    both = places(layers(), parse_stop("if expert(3) and numel > 0"))
    assert both == ["model.layers.1.mlp:experts"]
    assert len(places(layers(), parse_stop("if expert(3) and absmax >= 0"))) > 1, "it asks about every tensor"


def test_the_default_stops_fire_once_and_leave_what_masks_hide_alone() -> None:
    bad = FIRST.copy()
    bad[0, 0, 0] = np.nan
    hidden = np.where(FIRST > 0, -np.inf, FIRST).astype(np.float32)
    roles = ("mask", "masked", "selection_scores")
    legal = [(f"model.layers.0.self_attn:{role}", hidden) for role in roles]
    trace = made(*legal, ("model.layers.0.mlp", bad), ("model.layers.0", bad))
    assert places(trace, *DEFAULT_STOPS) == ["model.layers.0.mlp"]
    assert places(trace, parse_stop("* if nan")) == ["model.layers.0.mlp", "model.layers.0"]


def test_a_stop_that_is_off_costs_and_says_nothing() -> None:
    watcher = StopEvaluator(layers(), (Stop("a", parse_stop("*").pattern, on=False),))
    assert not any(map(watcher.look, layers().records))
    assert watcher.tallies[0].matched == 0


def test_the_tally_says_why_nothing_fired() -> None:
    trace = layers()
    hits, tally = look_up(trace, parse_stop("layers.0 if prev.norm > 3"), trace.records)
    assert (hits, tally.matched, tally.fired) == ((), 1, 0)
    assert "no layer before" in tally.untold
    assert look_up(trace, parse_stop("layers.9"), trace.records)[1].matched == 0
