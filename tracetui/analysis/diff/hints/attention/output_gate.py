"""Heads that are multiplied with a gate before they are projected: by what on each side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.analysis.diff.result import Outcome
from tracetui.analysis.diff.routing.ways import sigmoid

_PLACE = ".self_attn.o_proj:input"
_GATES = (".self_attn.q_proj", ".self_attn.gate_proj", ".self_attn.g_proj", ".self_attn.gate")
"""What may make the gate: a matrix of its own, or the half of q's that makes no queries."""
_FUNCTIONS: Mapping[str, Callable[[Numbers], Numbers]] = {
    "the sigmoid of": sigmoid,
    "silu of": lambda x: x * sigmoid(x),
    "tanh of": np.tanh,
    "": lambda x: x,
}


@dataclass(frozen=True, eq=False, slots=True)
class _Gate:
    """Gates [N,H,K], or one for each head [N,H,1], before their function."""

    words: str
    values: Numbers


def output_gate(scene: Scene) -> Hint | None:
    """What the output projection is given beside heads that agree: which gate each side multiplies them with."""
    heads = scene.near(".self_attn:heads")
    if scene.place != _PLACE or heads is None or heads.outcome is not Outcome.SAME:
        return None
    both = scene.both(heads)
    if both is None or both.a.ndim != 4 or both.a.size != scene.target.a.size:
        return None
    by_token = both.a.swapaxes(1, 2)  # [B,T,H,K]
    flat = by_token.reshape(-1, *by_token.shape[2:])  # [N,H,K]
    gates = list(_gates(scene, flat.shape))
    a, b = (_gate_of(side.reshape(flat.shape), flat, gates, scene.limit) for side in (scene.target.a, scene.target.b))
    if not a or not b or a == b:
        return None
    title = f"The heads are multiplied with {a} in A, with {b} in B, before o_proj"
    for side, own, other in (("A", a, b), ("B", b, a)):
        if own == _NOTHING:
            title = f"The output gate is left out in {side}: the other side multiplies the heads with {other}"
    return Hint("output-gate", title, "made anew from heads that agree, it is what each side gives o_proj.")


_NOTHING = "nothing"


def query_cut(scene: Scene) -> Hint | None:
    """Which half of a projection of queries and gates each side takes for the queries."""
    projected = scene.borrowed(".self_attn.q_proj")
    given = scene.target.a
    if scene.place != ".self_attn.q_norm:input" or projected is None or given.ndim != 4:
        return None
    shape = (given.shape[0] * given.shape[1], *given.shape[2:])  # [N,H,K]
    halves = list(_halves(projected, "q_proj", shape))
    a, b = (_half_of(side.reshape(shape), halves, scene.limit) for side in (given, scene.target.b))
    if not a or not b or a == b:
        return None
    title = f"The queries are {a} in A, {b} in B; the rest is the output gate"
    return Hint("fused-layout", title, "each side's q_norm is given these values of what q_proj made, which agrees.")


def _half_of(given: Numbers, halves: list[_Gate], limit: float) -> str:
    most = limit * float(np.linalg.norm(given))
    return next((half.words for half in halves if float(np.linalg.norm(given - half.values)) <= most), "")


def _halves(made: Numbers, name: str, shape: tuple[int, ...]) -> Iterator[_Gate]:
    """The halves [N,H,K] of a projection that is twice as wide: of each head, or of all of it."""
    tokens, heads, size = shape
    if made.size != 2 * tokens * heads * size:
        return
    by_head, whole = made.reshape(tokens, heads, 2, size), made.reshape(tokens, 2, heads, size)
    yield _Gate(f"the second half of each head of {name}", by_head[:, :, 1])
    yield _Gate(f"the second half of {name}", whole[:, 1])
    yield _Gate(f"the first half of each head of {name}", by_head[:, :, 0])
    yield _Gate(f"the first half of {name}", whole[:, 0])


def _gate_of(given: Numbers, heads: Numbers, gates: list[_Gate], limit: float) -> str:
    """In words, what heads [N,H,K] were multiplied with; empty where nothing that is known makes what was given."""
    most = limit * float(np.linalg.norm(given))
    if float(np.linalg.norm(given - heads)) <= most:
        return _NOTHING
    for gate in gates:
        for words, function in _FUNCTIONS.items():
            if float(np.linalg.norm(given - heads * function(gate.values))) <= most:
                return f"{words} {gate.words}".strip()
    return ""


def _gates(scene: Scene, shape: tuple[int, ...]) -> Iterator[_Gate]:
    tokens, heads, size = shape
    for place in _GATES:
        made = scene.borrowed(place)
        if made is None or made.size % tokens:
            continue
        name, rows = place.rpartition(".")[2], made.reshape(tokens, -1)
        if rows.shape[1] == heads * size:
            yield _Gate(f"what {name} makes", rows.reshape(shape))
        elif rows.shape[1] == heads:
            yield _Gate(f"what {name} makes, one number a head", rows.reshape(tokens, heads, 1))
        else:
            yield from _halves(rows, name, shape)
