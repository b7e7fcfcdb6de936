"""A norm before a projection that one side leaves out is named, though nobody recorded it there nor the matrix."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.value import Array

_PATH = "model.layers.0.self_attn"
_WIDTH = 32


def _unit(x: Array) -> Array:
    return np.asarray(x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True)))


def _beside(entering: Array, matrix: Array, weight: Array | None = None) -> Report:
    """A script's projection of what enters it, beside a run that normalises first."""
    low = _low()
    weight = _weight() if weight is None else weight
    script = {f"{_PATH}.q_a_proj": low, f"{_PATH}.q_b_proj": entering @ matrix}
    run = {
        f"{_PATH}.q_a_proj": low,
        f"{_PATH}.q_a_layernorm": _unit(low) * weight,
        f"{_PATH}.q_b_proj": (_unit(low) * weight) @ _matrix(),
    }
    return report(trace_of(script, dump=True), trace_of(run))


def _low() -> Array:
    return normal(1, 12, _WIDTH) * np.linspace(0.5, 2, 12, dtype=np.float32)[:, None]


def _weight() -> Array:
    return 1 + 0.3 * normal(_WIDTH, seed=1)


def _matrix() -> Array:
    return normal(_WIDTH, 96, seed=2)


def _titles(found: Report) -> list[str]:
    return [hint.title for hint in found.hints]


def test_a_norm_that_is_left_out_is_named() -> None:
    assert _titles(_beside(_low(), _matrix())) == ["q_a_layernorm is left out in A"]


def test_a_norm_of_one_weight_for_all_channels_is_named_too() -> None:
    assert _titles(_beside(_low(), _matrix(), np.ones(_WIDTH, np.float32))) == ["q_a_layernorm is left out in A"]


def test_its_weight_alone_may_be_left_out() -> None:
    assert _titles(_beside(_unit(_low()), _matrix())) == ["q_a_layernorm's weight is left out in A"]


@pytest.mark.parametrize("damage", [0.1, 1.0])
def test_another_matrix_is_no_missing_norm(damage: float) -> None:
    other = _matrix() + np.float32(damage) * normal(_WIDTH, 96, seed=3)
    found = _beside(_unit(_low()) * _weight(), other)
    assert found.first is not None
    assert not _titles(found)


def test_nothing_is_said_of_what_agrees() -> None:
    assert _beside(_unit(_low()) * _weight(), _matrix()).comparison.same


@pytest.mark.parametrize("leaf", ["q_b_proj", "q_b_layernorm"])
def test_a_little_noise_is_no_weight_that_is_left_out(leaf: str) -> None:
    """Gemma 3n has norms between norms: what a matrix would make of another norm tells nothing of them."""
    low, near = _low(), 1 + np.float32(0.1) * normal(_WIDTH, seed=1)
    normed = _unit(low) * near
    made = normed if leaf == "q_b_layernorm" else normed @ _matrix()
    for seed in range(20):
        noisy = made + np.float32(0.05) * made.std() * normal(*made.shape, seed=100 + seed)
        script = {f"{_PATH}.q_a_proj": low, f"{_PATH}.{leaf}": noisy}
        run = {f"{_PATH}.q_a_proj": low, f"{_PATH}.q_a_layernorm": normed, f"{_PATH}.{leaf}": made}
        found = report(trace_of(script, dump=True), trace_of(run))
        assert not [title for title in _titles(found) if "left out" in title]
