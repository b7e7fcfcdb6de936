"""One block in lines: every size is filled exactly, and what matters most is never left out."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len

from tests.tiny_moe import DEEPSEEK, QWEN, Family, whole_trace
from tests.views.drawn import INKS, plain
from tracetui.analysis.experts.block import Shared
from tracetui.analysis.experts.choice import token_choice
from tracetui.analysis.experts.load import expert_load
from tracetui.analysis.experts.routing import Missing, routing
from tracetui.analysis.identity import Identity
from tracetui.views.experts.lines import relative_margin, routed_lines
from tracetui.views.experts.table import Routed, choice_lines, figure, norm, token_lines

WIDE = Family(layers=2, experts=64, active=8, groups=8, groups_kept=4)
HOLDS = Identity(1.2e-7, 4e-6, holds=True)


def routed(family: Family = WIDE, token: int = 5) -> Routed:
    trace = whole_trace(family).trace
    found = routing(trace, 1)
    choice = token_choice(trace, found, token)
    texts = tuple(f"·w{place}" for place in range(len(found)))
    load = expert_load(found.experts, found.count)
    return Routed(found, load, choice, Shared(1.5, 0.38, 0.41), HOLDS, texts, choice.choices[0].expert)


def drawn(shown: Routed, width: int = 84, height: int = 40) -> list[str]:
    return plain(routed_lines(shown, width, height, INKS))


@pytest.mark.parametrize("family", [WIDE, QWEN])
@pytest.mark.parametrize("width", [20, 36, 50, 84, 160])
@pytest.mark.parametrize("height", [3, 9, 13, 20, 40])
def test_lines_fill_the_width_and_stay_within_the_height(family: Family, width: int, height: int) -> None:
    lines = drawn(routed(family), width, height)
    assert len(lines) <= height
    assert {cell_len(line) for line in lines} == {width}


def test_a_short_table_keeps_the_line_of_the_user() -> None:
    shown = routed()
    for choice in shown.choice.choices:
        lines = drawn(replace(shown, expert=choice.expert), 50, 9)
        assert [line for line in lines if line.startswith("▸") and f" {choice.expert} " in line]


def test_columns_leave_in_order_as_room_shrinks() -> None:
    shown = routed()
    heads = [
        [word for word in plain(choice_lines(shown, width, INKS))[0].split() if not word[0].isdigit()]
        for width in (110, 76, 70, 56, 40, 12)
    ]
    assert heads[0] == ["expert", "group", "weight", "logit", "score", "bias", "selection", "margin", "‖out‖"]
    assert "logit" not in heads[1]
    assert heads[3] == ["expert", "weight", "score", "bias", "selection", "margin"]
    assert heads[4] == ["expert", "weight", "score", "margin"]
    assert all(set(fewer) <= set(more) for more, fewer in itertools.pairwise(heads))


def test_the_longest_bar_is_the_largest_weight() -> None:
    rows = plain(choice_lines(routed(QWEN), 100, INKS))[1:]
    lengths = [row.count("█") for row in rows]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == 10


def test_the_bars_say_what_their_ends_stand_for() -> None:
    shown = routed(QWEN)
    largest = max(choice.weight or 0.0 for choice in shown.choice.choices)
    head = plain(choice_lines(shown, 100, INKS))[0]
    assert head.split()[2:4] == ["0", f"{largest:.4f}"]


def test_norms_of_alike_experts_can_be_told_apart() -> None:
    assert norm(312.41) != norm(312.46)
    assert max(len(norm(value)) for value in (1.23456e-5, 312.41, 123456.7, 1.2345e12)) <= 9


def test_what_a_family_lacks_has_no_column() -> None:
    head = plain(choice_lines(routed(QWEN), 120, INKS))[0]
    assert not {"group", "bias", "selection"} & set(head.split())


def test_every_token_with_its_experts() -> None:
    shown = routed(DEEPSEEK)
    lines = plain(token_lines(shown, 100, 18, INKS))
    assert len(lines) == 18
    weights = shown.routing.weights
    assert weights is not None
    for token, line in enumerate(lines[1:]):
        best = int(np.argmax(weights[token]))
        assert line.split()[:2] == [str(token), f"·w{token}"]
        assert f"  {shown.routing.experts[token, best]}: {weights[token, best]:.2f}  " in line


def test_the_tokens_around_the_one_looked_at() -> None:
    lines = plain(token_lines(routed(DEEPSEEK, token=16), 60, 5, INKS))
    assert [line.split()[0] for line in lines[1:]] == ["13", "14", "15", "16"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (HOLDS, " ✓ weighted sum + shared = output: max |Δ| 1.2e-07 ≤ 4e-06"),
        (None, " … weighted sum + shared = output"),
        (Missing("the output is not recorded yet"), " sum not checked: the output is not recorded yet"),
        (Identity(0.5, 4e-6, holds=False), " ✗ BROKEN weighted sum + shared = output: max |Δ| 0.5 > 4e-06"),
    ],
)
def test_the_sum_in_words(found: Identity | Missing | None, said: str) -> None:
    assert said in [line.rstrip() for line in drawn(replace(routed(), identity=found))]


def test_without_a_shared_expert() -> None:
    text = "\n".join(drawn(replace(routed(), shared=None)))
    assert "weighted sum = output: max" in text
    assert "no shared expert" in text
    text = "\n".join(drawn(replace(routed(), shared=Missing("not recorded yet"))))
    assert "weighted sum + shared = output: max" in text
    assert "shared not recorded yet" in text


@pytest.mark.parametrize(
    ("margin", "runner_up", "score", "said"),
    [
        (0.0, 9, 0.5, "a tie with expert 9"),
        (0.003, 9, 0.5, "margin 0.0030 (0.6%, close: under 1%) to expert 9"),
        (0.25, 9, 0.25, "margin 0.2500 (50.0%) to expert 9"),
        (float("inf"), None, None, "no other expert could be chosen"),
        (None, None, None, "margin unknown: the scores alone don’t decide"),
    ],
)
def test_margins_in_words(margin: float | None, runner_up: int | None, score: float | None, said: str) -> None:
    shown = routed()
    choices = tuple(replace(choice, margin=margin) for choice in shown.choice.choices)
    choice = replace(shown.choice, choices=choices, runner_up=runner_up, runner_up_selection=score)
    assert any(said in line for line in drawn(replace(shown, choice=choice)))
    assert (relative_margin(choice) is None) is (score is None)


def test_a_margin_without_scores_is_unknown() -> None:
    shown = routed()
    choices = tuple(replace(choice, margin=None) for choice in shown.choice.choices)
    routing = replace(shown.routing, scores=None, logits=None)
    found = drawn(replace(shown, routing=routing, choice=replace(shown.choice, choices=choices)))
    assert any("margin unknown: no scores recorded" in line for line in found)


def test_a_narrow_line_keeps_the_token_and_its_margin() -> None:
    shown = routed()
    choices = tuple(replace(choice, margin=0.003) for choice in shown.choice.choices)
    choice = replace(shown.choice, choices=choices, runner_up=208, runner_up_selection=0.5)
    said = {
        width: next(line.rstrip() for line in drawn(replace(shown, choice=choice), width) if " token 5" in line)
        for width in (70, 60, 46, 38, 32)
    }
    assert said[70] == " token 5 “·w5”  margin 0.0030 (0.6%, close: under 1%) to expert 208"
    assert said[60] == " token 5 “·w5”  margin 0.0030 (0.6%, close) to expert 208"
    assert said[46] == " token 5  margin 0.0030 (0.6%, close) to 208"
    assert said[38] == " token 5  0.0030 (0.6%, close) to 208"
    assert said[32] == " token 5  0.0030 (close) to 208"


def numbers_of(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:\.\d+)?(?:e[-+]\d+)?", text))


@pytest.mark.parametrize("width", range(20, 84))
def test_no_number_is_cut(width: int) -> None:
    shown = routed()
    whole = numbers_of(" ".join(drawn(shown, 200)))
    head = [line.replace("‖", " ") for line in drawn(shown, width, 13)[: 13 - len(shown.choice.choices) - 1]]
    assert numbers_of(" ".join(head)) <= whole | {"4"}


@pytest.mark.parametrize("width", [34, 50, 60, 84, 100, 140])
def test_every_expert_of_a_token_is_listed_or_counted(width: int) -> None:
    shown = routed()
    for token, line in enumerate(plain(token_lines(shown, width, len(shown.routing) + 1, INKS))[1:]):
        assert "…" not in line
        listed = re.sub(r": \d\.\d\d", "", line).split()[3:]
        chosen = [str(expert) for expert in shown.routing.experts[token]]
        more = int(listed.pop()) if listed and listed[-1].startswith("+") else 0
        assert set(listed) <= set(chosen)
        assert len(listed) + more == len(chosen)


def test_few_choices_are_held_against_what_they_could_hit() -> None:
    shown = routed()
    few = expert_load(np.array([[1, 2], [1, 3]]), 64)
    text = "\n".join(drawn(replace(shown, load=few)))
    assert "3 of at most 4 hit" in text
    assert "1.50 of 2 bits" in text


def test_the_expert_that_was_not_chosen() -> None:
    shown = routed()
    criterion = shown.routing.criterion
    assert criterion is not None
    chosen = {choice.expert for choice in shown.choice.choices}
    masked = int(np.flatnonzero(np.isneginf(criterion[5]))[0])
    assert shown.choice.runner_up is not None
    missed = "\n".join(drawn(replace(shown, expert=shown.choice.runner_up)))
    assert f"missed by token 5 by {figure(shown.choice.margin)}" in missed
    assert "not by token 5: its group is masked" in "\n".join(drawn(replace(shown, expert=masked)))
    dead = next(int(expert) for expert in shown.load.dead if expert not in chosen)
    assert f"expert {dead}  chosen by no token" in "\n".join(drawn(replace(shown, expert=dead), 50, 13)), (
        "also if short"
    )


def test_figures_stay_short() -> None:
    values = [None, float("inf"), -float("inf"), float("nan"), 0.0, 1e-9, 0.001234, 1.5, 99.99996, 12345.0, -1e-12]
    texts = [figure(value) for value in values]
    assert texts[:5] == ["–", "∞", "-∞", "NaN", "0.0000"]
    assert texts[5:8] == ["1e-09", "0.0012", "1.5000"]
    assert max(map(len, texts)) <= 8
