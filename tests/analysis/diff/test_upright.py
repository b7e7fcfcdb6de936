"""A file with all axes reversed: rows are tokens all the same, on whichever side it stands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tracetui
from tests.analysis.diff.made import normal, trace_of
from tracetui.recording.value import Array

WIDTHS = {".input_layernorm": 8, ".self_attn.q_proj": 8, ".mlp.up_proj": 12, "": 8}
FAULTY = "model.layers.1.self_attn.q_proj"


def massive(site: str, seed: int) -> Array:
    """[1,T,D] with a first token a million times as long as the others."""
    made = normal(1, 6, WIDTHS[site], seed=seed)
    made[:, 0] *= 1e6
    return made


RIGHT = {f"model.layers.{n}{site}": massive(site, 10 * n + at) for n in range(2) for at, site in enumerate(WIDTHS)}


def one_token_off() -> dict[str, Array]:
    wrong = RIGHT[FAULTY].copy()
    wrong[:, 4] *= np.float32(1.3)
    return {**RIGHT, FAULTY: wrong}


TURNS: dict[str, Callable[[Array], Array]] = {
    "all axes": lambda array: np.ascontiguousarray(array.T),
    "without a batch": lambda array: np.ascontiguousarray(array[0].T),
}


@pytest.mark.parametrize("turn", TURNS)
def test_one_token_beside_a_massive_one_is_found_in_a_reversed_file(turn: str) -> None:
    wrong = {site: TURNS[turn](array) for site, array in one_token_off().items()}
    right = {site: TURNS[turn](array) for site, array in RIGHT.items()}
    reference = trace_of(RIGHT, tokens=[range(6)])
    for diff in (
        tracetui.diff(wrong, reference),
        tracetui.diff(reference, wrong),
        tracetui.diff(wrong, RIGHT),
        tracetui.diff(RIGHT, wrong),
        tracetui.diff(one_token_off(), right),
    ):
        assert diff.first is not None, diff.verdict
        assert diff.first.site == FAULTY
        assert diff.first.distance is not None
        assert diff.first.distance.furthest == pytest.approx(0.3, abs=0.1)
    assert tracetui.diff(right, reference).same
    assert tracetui.diff(right, RIGHT).same


def test_a_channel_of_a_reversed_file_is_no_token() -> None:
    site = "model.layers.1.input_layernorm"
    right = {name: normal(*array.shape, seed=at) for at, (name, array) in enumerate(RIGHT.items())}
    weight = normal(8, seed=99) + 2
    wrong = {name: np.ascontiguousarray((array * weight if name == site else array).T) for name, array in right.items()}
    diff = tracetui.diff(wrong, trace_of(right, tokens=[range(6)]))
    assert [hint.title for hint in diff.report.hints] == ["The norm's weight is another"]
    assert "each channel at all 6 tokens" in diff.report.hints[0].evidence


def test_two_square_tensors_are_turned_with_the_rest_of_their_file() -> None:
    square = {**RIGHT, "model.layers.1.mlp": normal(6, 6, seed=7)}
    turned = {site: np.ascontiguousarray(array.T) for site, array in square.items()}
    assert tracetui.diff(turned, trace_of(square, tokens=[range(6)])).same
    assert not tracetui.diff({**square, "model.layers.1.mlp": turned["model.layers.1.mlp"]}, square).same
