"""Rows in which a mask hides every key: zeros of one kernel and another's mean blame no heads."""

from __future__ import annotations

import numpy as np

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.value import Array

_PATH = "model.layers.0.self_attn"
_HIDDEN = (0, slice(None), slice(0, 2))
"""The first two queries of the first prompt."""


def _attended(empty: Array | float) -> dict[str, Array]:
    """What attention is given and makes, with something else where no key is seen."""
    q, k, v = normal(2, 4, 5, 8), normal(2, 2, 5, 8, seed=1), normal(2, 2, 5, 8, seed=2)
    mask = np.tril(np.ones((5, 5), np.bool_))[None, None].repeat(2, axis=0)
    mask[_HIDDEN] = False
    scores = np.where(mask, q @ k.repeat(2, 1).swapaxes(-1, -2) / 8**0.5, -np.inf)
    scores[_HIDDEN] = 0
    probs = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    heads = (probs @ v.repeat(2, 1)).astype(np.float32)
    heads[_HIDDEN] = empty
    return {
        f"{_PATH}:{role}": array
        for role, array in zip(("q", "k", "v", "mask", "heads"), (q, k, v, mask, heads), strict=True)
    }


def _mean() -> Array:
    mean = normal(2, 2, 5, 8, seed=2)[0].mean(axis=1).repeat(2, 0)[:, None]
    return np.asarray(np.broadcast_to(mean, (4, 2, 8)))


def _beside(a: dict[str, Array]) -> Report:
    return report(trace_of(a), trace_of(_attended(_mean())))


def test_zeros_beside_the_mean_are_named_and_blame_nobody() -> None:
    found = _beside(_attended(0.0))
    assert [hint.title for hint in found.hints] == [
        "Queries that see no key: A's kernel returns zeros, B's the mean of all values"
    ]
    assert not found.at_fault


def test_other_numbers_there_are_a_fault_like_any() -> None:
    found = _beside(_attended(_mean() * np.float32(1.3)))
    assert all(hint.name != "hidden-rows" for hint in found.hints)
    assert found.at_fault


def test_a_row_that_sees_keys_is_no_such_row() -> None:
    wrong = _attended(0.0)
    wrong[f"{_PATH}:heads"][1, :, 3] *= 1.3
    assert all(hint.name != "hidden-rows" for hint in _beside(wrong).hints)


def test_nothing_is_said_where_both_agree() -> None:
    assert _beside(_attended(_mean())).comparison.same
