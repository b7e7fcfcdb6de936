"""Watches: the grammar, the line over layers, and what has been scanned is not scanned again."""

from __future__ import annotations

import numpy as np
import pytest

from tests.expr.made import FIRST, layers
from tracetui.expr.errors import BadExpressionError
from tracetui.expr.watch import look_at, parse_watch


def test_a_name_over_all_layers_is_a_line() -> None:
    found = look_at(parse_watch("layers.*.norm"), layers(), 10, 4)
    assert [(point.label, point.index) for point in found.points] == [("0", 4), ("1", 9)]
    assert found.points[1].value == pytest.approx(3 * float(np.linalg.norm(FIRST)))
    assert found.current == 0, "the cursor stands at layer 0"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("layers.1:nothing", None),
        ("layers.1.max", 24),
        ("layers.1", 3 * float(np.linalg.norm(FIRST))),
        ("norm / prev.norm at layers.1", 3),
        ("layers.1[0,-1,3]", 24),
        ("layers.1[0,:,3].min", 0),
        ("layers.1.mlp.load(0)", 1 / 3),
        ("layers.*.self_attn.entropy(head=0)", (1 + np.log2(3)) / 3),
    ],
)
def test_short_forms(text: str, value: float | None) -> None:
    found = look_at(parse_watch(text), layers(), 10, 9)
    assert (found.points[-1].value if found.points else None) == (value if value is None else pytest.approx(value))


def test_a_part_is_shown_as_numbers() -> None:
    found = look_at(parse_watch("layers.1.mlp:experts[1]"), layers(), 10, 9)
    assert found.part is not None
    assert found.part.tolist() == [1, 2]


@pytest.mark.parametrize("router", ["gate", "router"])
def test_what_a_router_chose_is_its_blocks(router: str) -> None:
    block = look_at(parse_watch("layers.1.mlp:experts[1,:].max"), layers(), 10, 9)
    found = look_at(parse_watch(f"layers.1.mlp.{router}:experts[1,:].max"), layers(), 10, 9)
    assert found.points == block.points != ()


def test_what_was_scanned_is_kept_and_new_records_are_added() -> None:
    trace, watch = layers(), parse_watch("layers.*.norm")
    half = look_at(watch, trace, 5, 4)
    assert (half.scanned, half.found) == (5, (4,))
    assert look_at(watch, trace, 10, 9, half).found == look_at(watch, trace, 10, 9).found == (4, 9)


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("", 0, "a watch is"),
        ("a b", 1, "no site has this"),
        ("nrom at layers.1", 0, "did you mean norm?"),
        ("layers.1[x]", 9, "whole number or a slice"),
        ("layers.1.load(x)", 14, "is no name"),
    ],
)
def test_a_wrong_watch_is_refused_at_its_place(text: str, column: int, told: str) -> None:
    with pytest.raises(BadExpressionError) as caught:
        parse_watch(text)
    assert told in str(caught.value)
    assert caught.value.column == column


@pytest.mark.parametrize("text", ["*" * 60 + "#", "*a" * 60 + "#", "?*" * 60 + "#"])
def test_many_stars_are_matched_at_once(text: str) -> None:
    found = look_at(parse_watch(text), layers(), 10, 9)
    assert not found.points


@pytest.mark.parametrize(
    ("pattern", "site", "fits"),
    [
        ("layers.*.mlp", "layers.17.mlp", True),
        ("layers.*.mlp", "layers.1.2.mlp", False),
        ("*.*_proj", "mlp.up_a_proj", True),
        ("l*s.**.?l*", "layers.0.mlp", True),
        ("l*s.*.?l*", "layers.0.xmp", False),
        ("*a*b*", "xxaxxbxx", True),
        ("*a*b", "abcab", True),
        ("*a*b", "a.b", False),
    ],
)
def test_a_star_stands_for_a_part_of_one_name(pattern: str, site: str, fits: bool) -> None:
    assert (parse_watch(f"norm at {pattern}")._sites.fullmatch(site) is not None) is fits


def test_a_text_without_end_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(BadExpressionError, match="longer than 500"):
        parse_watch("norm" + " " * 10**6 + "of x")
