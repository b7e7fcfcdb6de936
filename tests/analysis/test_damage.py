"""How far predictions moved, on logits written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tracetui.analysis.quantised.damage import Reference

P = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
Q = np.array([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]])


def test_divergence_is_the_mean_over_positions_and_its_worst_is_named() -> None:
    moved = Reference(np.log(P)[None], [2]).shift(np.log(Q)[None] + 7)
    expected = 0.5 * np.log(2) + 0.25 * np.log(0.5)
    assert moved.divergence == pytest.approx(expected / 2)
    assert moved.worst == pytest.approx(expected)
    assert moved.position == (0, 0)
    assert moved.agreement == 0.5


def test_padding_counts_for_nothing_and_equal_logits_are_no_damage() -> None:
    logits = np.log(np.stack([P, Q]))
    other = logits.copy()
    other[1, 1] = [9, 0, 0]
    assert Reference(logits, [2, 1]).shift(other).divergence == 0
    assert Reference(logits, [2, 1]).shift(other).agreement == 1
    assert Reference(logits, [2, 2]).shift(other).position == (1, 1)


def test_a_probability_of_nothing_adds_nothing() -> None:
    logits = np.array([[[0.0, -np.inf]]])
    assert Reference(logits, [1]).shift(np.array([[[0.0, -3.0]]])).divergence == pytest.approx(np.log1p(np.exp(-3)))


def test_every_position_has_its_own_divergence_and_what_both_take_for_the_next_token() -> None:
    first, second = Reference(np.log(P)[None], [2]).by_position(np.log(Q)[None] - 3)
    assert (first.row, first.token, first.original.id, first.quantised.id) == (0, 0, 0, 1)
    assert first.original.probability == pytest.approx(0.5)
    assert first.quantised.probability == pytest.approx(0.5)
    assert first.divergence == pytest.approx(0.5 * np.log(2) + 0.25 * np.log(0.5))
    assert second.divergence == pytest.approx(0, abs=1e-6)
    assert second.quantised.probability == pytest.approx(0.8)
