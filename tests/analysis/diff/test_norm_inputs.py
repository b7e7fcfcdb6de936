"""What hooks kept of a norm's input, beside a trace that has the stream at that place."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.value import Array
from tracetui.views.diff.report import verdict

LAYER = "model.layers.0"
NORM = f"{LAYER}.post_attention_layernorm"


def rms(x: Array, epsilon: float = 1e-6) -> Array:
    return np.asarray(x / np.sqrt(np.square(x).mean(-1, keepdims=True) + epsilon))


def compared(norm_input: Array, normed: Array, attention: Array, turned: bool = False) -> Report:
    """A script's hooks beside a trace of a layer that normalises the stream after attention.

    turned: whether the trace is the first side.
    """
    x, before = normal(1, 9, 16, seed=1), normal(1, 9, 16, seed=2)
    stream = x + before
    traced = {
        "model.embed_tokens": x,
        f"{LAYER}.self_attn": before,
        f"{LAYER}:attn_residual": stream,
        NORM: rms(stream),
    }
    hooked = {"model.embed_tokens": x, f"{LAYER}.self_attn": attention, f"{NORM}:input": norm_input, NORM: normed}
    mine, reference = trace_of(hooked, dump=True), trace_of(traced)
    return report(reference, mine) if turned else report(mine, reference)


def stream(share: float = 1.0) -> tuple[Array, Array]:
    x, attention = normal(1, 9, 16, seed=1), normal(1, 9, 16, seed=2)
    return np.asarray(x + share * attention), attention


@pytest.mark.parametrize("turned", [False, True])
def test_a_norms_own_fault_is_named(turned: bool) -> None:
    given, attention = stream()
    found = compared(given, rms(given, 0.01), attention, turned)
    assert f"{LAYER}:attn_residual" in {site.site for site in found.comparison.sites}
    assert found.first is not None
    assert found.first.site == NORM
    assert found.at_fault
    assert [hint.name for hint in found.hints] == ["norm-epsilon"]


def test_a_sum_before_it_is_not_put_down_to_the_norm() -> None:
    given, attention = stream(0.5)
    found = compared(given, rms(given), attention)
    assert not {hint.name for hint in found.hints} & {"norm-epsilon", "norm-scale"}
    assert "in model.layers.0's own code" in verdict(found)
    assert "the fault is there" not in verdict(found)


def test_a_norm_of_something_else_is_no_stream() -> None:
    """Gemma's norm of this name is given what attention made."""
    _, attention = stream()
    found = compared(attention, rms(attention), attention)
    assert f"{LAYER}:attn_residual" not in {site.site for site in found.comparison.sites}


def test_all_right_is_all_right() -> None:
    given, attention = stream()
    found = compared(given, rms(given), attention)
    assert found.comparison.same
    assert found.comparison.compared == 4
