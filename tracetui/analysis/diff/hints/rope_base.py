"""RoPE with another base or another scaling: pairs that turn at other speeds on the two sides."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.rotation import Rotation, before_rotation, rotation_of, rotation_of_table
from tracetui.analysis.diff.hints.scene import Hint, Scene

Places = npt.NDArray[np.int_]
_ALIKE = 0.02
"""How far apart, relative, two speeds are that are the same."""
_MEASURABLE = 50.0
"""How many times a dtype's tolerance a pair must turn over the prompt for its speed to be known."""
_FEWEST = 2
"""Pairs whose speeds are known."""


def rope_frequencies(scene: Scene) -> Hint | None:
    """Tables, or q and k beside what they are made of, that tell how fast each side turns each pair."""
    limit = max(1e-3, 4 * scene.unit)
    if scene.leaf == "rotary_emb":
        tables = _tables(scene)
        found = [None if table is None else rotation_of_table(*table, limit) for table in tables]
    else:
        role = scene.leaf.removeprefix(":")
        before = before_rotation(scene, role, scene.target.a.shape) if role in ("q", "k") else None
        if before is None:
            return None
        found = [rotation_of(before, side, limit) for side in (scene.target.a, scene.target.b)]
    a, b = found
    if a is None or b is None or a.way != b.way or len(a.frequencies) != len(b.frequencies):
        return None
    tokens = scene.target.a.shape[-2]
    return compared(a, b, np.maximum(a.frequencies, b.frequencies) * tokens > _MEASURABLE * scene.unit)


def _tables(scene: Scene) -> list[tuple[Numbers, Numbers] | None]:
    """Cosines and sines [T,K] of both sides; None where one of them is missing."""
    part = scene.site.pair.a.record.part
    other = scene.near("model.rotary_emb" if part else "model.rotary_emb#1")
    beside = None if other is None else scene.both(other)
    if beside is None or scene.target.a.ndim < 2:
        return [None, None]
    sides = []
    for one, two in ((scene.target.a, beside.a), (scene.target.b, beside.b)):
        first, second = (table.reshape(-1, *table.shape[-2:])[0] for table in (one, two))
        sides.append((second, first) if part else (first, second))
    return [*sides]


def compared(a: Rotation, b: Rotation, known: npt.NDArray[np.bool_]) -> Hint | None:
    """What makes two sides' speeds differ; `known`: of which pairs they could be measured."""
    places = np.flatnonzero(known)
    still = [name for name, side in (("A", a), ("B", b)) if np.abs(side.frequencies[places]).max(initial=0) < 1e-6]
    if len(still) == 1 and len(places):
        turning = "B" if still == ["A"] else "A"
        return Hint(
            "rope-missing",
            f"{still[0]} doesn't turn by positions at all: RoPE is left out",
            f"{turning} turns {len(places)} pairs of each head.",
        )
    if len(places) < _FEWEST or still or min(a.frequencies[places].min(), b.frequencies[places].min()) <= 0:
        return None
    ratio = a.frequencies[places] / b.frequencies[places]
    bases = [_base(side.frequencies, places) for side in (a, b)]
    if np.abs(ratio - 1).max() < _ALIKE:
        return _lengths(a, b)
    if bases[0] and bases[1]:
        return _base_hint(bases[0], bases[1], len(places))
    return _scaling_hint(ratio, places)


def _base(frequencies: Numbers, places: Places) -> float:
    """The theta of theta^(-2j/K) that these speeds follow; 0 if they follow none."""
    share = places / len(frequencies)  # 2j/K
    logs = -np.log(frequencies[places])
    total = float(np.square(share).sum())
    base = float((share * logs).sum()) / total if total else 0.0
    return math.exp(base) if 0 < base < 100 and float(np.abs(logs - share * base).max()) < _ALIKE else 0.0


def _base_hint(a: float, b: float, pairs: int) -> Hint:
    return Hint(
        "rope-base",
        f"RoPE's base (rope_theta) is {_shown(a)} in A, {_shown(b)} in B",
        f"the speeds of {pairs} pairs follow each side's base to the power -2j/K within {_ALIKE:.0%}.",
    )


def _shown(base: float) -> str:
    """A base is a round number: as many digits as are sure."""
    return f"{float(f'{base:.2g}'):,.0f}"


def _scaling_hint(ratio: Numbers, places: Places) -> Hint | None:
    """The same factor for all pairs; or none for the fast ones and one for the slow."""
    slow = float(ratio[-1])
    side, factor = ("A", 1 / slow) if slow < 1 else ("B", slow)
    if np.abs(ratio / slow - 1).max() < _ALIKE:
        return Hint(
            "rope-scaling",
            f"RoPE's positions are divided by {factor:.3g} in {side} (linear scaling)",
            f"all of {len(places)} pairs turn {factor:.3g} times slower there.",
        )
    if abs(float(ratio[0]) - 1) > _ALIKE or (np.diff(ratio) * (1 if slow > 1 else -1) < -_ALIKE).any():
        return None
    fast = int((np.abs(ratio - 1) < _ALIKE).sum())
    return Hint(
        "rope-scaling",
        f"RoPE is scaled in {side} alone, as YaRN or Llama 3's scaling do",
        f"the {fast} fastest pairs turn alike, the slowest measured one {factor:.3g} times slower in {side}.",
    )


def _lengths(a: Rotation, b: Rotation) -> Hint | None:
    if abs(a.length / b.length - 1) < _ALIKE / 10:
        return None
    return Hint(
        "rope-scaling",
        f"RoPE's cosines and sines are multiplied by {a.length:.4g} in A, {b.length:.4g} in B",
        "all pairs turn alike; YaRN's attention factor makes them longer.",
    )
