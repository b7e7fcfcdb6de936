"""Gates behind attention's heads, and norms of queries before or after RoPE, by what modules are given."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import report
from tracetui.recording.value import Array

LAYER = "model.layers.0"
ATTENTION = f"{LAYER}.self_attn"
TOKENS, HEADS, SIZE = 9, 4, 8
QUERIES = normal(1, TOKENS, HEADS, 2, SIZE, seed=1)
"""Of each head the queries, and the gate."""
MADE = normal(1, HEADS, TOKENS, SIZE, seed=2)
KNOWN = {
    f"{LAYER}.input_layernorm": normal(1, TOKENS, 32, seed=3),
    f"{ATTENTION}.q_proj": QUERIES.reshape(1, TOKENS, -1),
}


def told(site: str, a: Array, b: Array, **known: Array) -> list[str]:
    """The titles of what is said of a site that differs, or doesn't."""
    before = {**KNOWN, **{f"{ATTENTION}:{role}": array for role, array in known.items()}}
    sides = [trace_of({**before, site: side}, tokens=[range(TOKENS)]) for side in (a, b)]
    return [hint.title for hint in report(sides[0], sides[1]).hints]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def gated(gate: Array | None) -> Array:
    heads = MADE.swapaxes(1, 2)  # [B,T,H,K]
    made: Array = (heads if gate is None else heads * gate).reshape(1, TOKENS, -1).astype(np.float32)
    return made


GATE = QUERIES[:, :, :, 1]
RIGHT = gated(sigmoid(GATE))
OF_HEADS = "the second half of each head of q_proj"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            gated(None),
            f"The output gate is left out in A: the other side multiplies the heads with the sigmoid of {OF_HEADS}",
        ),
        (gated(GATE * sigmoid(GATE)), f"silu of {OF_HEADS} in A, with the sigmoid of {OF_HEADS} in B"),
        (
            gated(sigmoid(QUERIES.reshape(1, TOKENS, 2, HEADS, SIZE)[:, :, 1])),
            "the sigmoid of the second half of q_proj in A",
        ),
        (gated(sigmoid(GATE) ** 2), ""),
        (gated(None) * np.float32(1.25), ""),
        (RIGHT, ""),
    ],
)
def test_a_gate_behind_the_heads_is_told(wrong: Array, words: str) -> None:
    titles = told(f"{ATTENTION}.o_proj:input", wrong, RIGHT, heads=MADE)
    gates = [title for title in titles if "gate" in title or "multiplied" in title]
    assert len(gates) == bool(words), titles
    assert not words or words in gates[0]


def test_heads_that_differ_tell_nothing_of_a_gate() -> None:
    before = [{**KNOWN, f"{ATTENTION}:heads": MADE * factor} for factor in (np.float32(1), np.float32(1.1))]
    sides = [
        trace_of({**known, f"{ATTENTION}.o_proj:input": side}, tokens=[range(TOKENS)])
        for known, side in zip(before, (gated(None), RIGHT), strict=True)
    ]
    assert not any("gate" in hint.title for hint in report(sides[0], sides[1]).hints)


def turned(heads: Array, base: float = 10_000.0) -> Array:
    """[B,T,H,K]"""
    angles = np.arange(TOKENS)[:, None] / base ** (np.arange(0, SIZE, 2) / SIZE)  # [T,K/2]
    cos, sin = np.cos(angles)[None, :, None], np.sin(angles)[None, :, None]
    one, two = heads[..., : SIZE // 2], heads[..., SIZE // 2 :]
    return np.concatenate([one * cos - two * sin, two * cos + one * sin], -1).astype(np.float32)


PLAIN = QUERIES[:, :, :, 0]
GIVEN = f"{ATTENTION}.q_norm:input"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (turned(PLAIN), "q_norm is applied after RoPE in A, before it in B"),
        (
            QUERIES.reshape(1, TOKENS, 2, HEADS, SIZE)[:, :, 0],
            "The queries are the first half of q_proj in A, the first half of each head of q_proj in B",
        ),
        (QUERIES[:, :, :, 1], "The queries are the second half of each head of q_proj in A"),
        (normal(1, TOKENS, HEADS, SIZE, seed=9), ""),
        (PLAIN, ""),
    ],
)
def test_what_a_norm_of_queries_is_given_tells_what_was_done_before(wrong: Array, words: str) -> None:
    for a, b, side in ((wrong, PLAIN, "A"), (PLAIN, wrong, "B")):
        titles = told(GIVEN, a, b)
        assert len(titles) == bool(words), titles
        assert side == "B" or not words or words in titles[0]
