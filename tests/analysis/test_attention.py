"""What is taken for an attention call, and what only has its names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.attention.kinds import KINDS
from tracetui.analysis.attention.scores import attention_at
from tracetui.recording.record import AttentionCall
from tracetui.recording.trace import Trace

CALL = AttentionCall(scale=0.5, is_causal=True, kernel="sdpa")
Shape = tuple[int, ...]


def called(**shapes: Shape) -> Trace:
    trace = trace_of({f"m:{role}": normal(*shape) for role, shape in shapes.items()})
    return replace(trace, attention={"m:q": CALL})


SOUND: dict[str, Shape] = {"q": (2, 4, 3, 8), "k": (2, 2, 5, 8)}


@pytest.mark.parametrize(
    "shapes", [{}, {"mask": (2, 1, 3, 5)}, {"mask": (1, 4, 1, 9)}, {"mask": (1, 1, 3, 1)}, {"sinks": (4,)}]
)
def test_shapes_of_one_call_give_every_head_s_probabilities(shapes: dict[str, Shape]) -> None:
    trace = called(**SOUND, **shapes)
    view = attention_at(trace, trace.records[0])
    assert view is not None
    for head in range(4):
        assert view.matrix("probs", head, 1).shape == (3, 5)
        assert np.isfinite(view.matrix("probs", head, 1)).all()


@pytest.mark.parametrize(
    "shapes",
    [
        {"q": (4, 3, 8)},
        {"k": (2, 5, 8)},
        {"k": (2, 2, 5, 9)},
        {"k": (1, 2, 5, 8)},
        {"k": (2, 3, 5, 8)},
        {"k": (2, 0, 5, 8)},
        {"k": (2, 2, 0, 8)},
        {"mask": (3, 5)},
        {"mask": (2, 1, 3, 4)},
        {"mask": (2, 3, 3, 5)},
        {"sinks": (3,)},
        {"sinks": ()},
    ],
)
def test_shapes_that_don_t_go_together_are_no_call(shapes: dict[str, Shape]) -> None:
    trace = called(**{**SOUND, **shapes})
    assert attention_at(trace, trace.records[0]) is None


@pytest.mark.parametrize("role", ["scores", "masked", "probs"])
def test_recorded_matrices_of_other_shapes_are_computed_instead(role: str) -> None:
    trace = called(**SOUND, **{role: (2, 4, 2, 5)})
    view, plain = attention_at(trace, trace.records[0]), attention_at(called(**SOUND), trace.records[0])
    assert view is not None
    assert plain is not None
    for kind in KINDS:
        np.testing.assert_array_equal(view.matrix(kind, 3, 1), plain.matrix(kind, 3, 1))
