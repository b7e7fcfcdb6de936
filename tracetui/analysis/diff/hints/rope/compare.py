"""Two rotations compared: which values turn, in which pairs, how fast, from which position on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.rope.laws import ALIKE, Law, law_of, rope_fields
from tracetui.analysis.diff.hints.rope.rotation import Rotation
from tracetui.analysis.diff.hints.scene import Hint, Scene, real

_MEASURABLE = 50.0
"""How many times a dtype's tolerance a pair must turn over the prompt for its speed to be known."""
_FARTHEST = 64
"""Positions by which a shift is looked for."""
_SHARES = ("partial_rotary_factor", "rotary_pct")


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing in which two rotations differ."""

    name: str
    title: str


def compared(scene: Scene, a: Rotation, b: Rotation, tokens: int) -> Hint | None:
    """All in which two rotations differ, as one hint."""
    a, b = _of_one_size(a, b, scene.unit / tokens), _of_one_size(b, a, scene.unit / tokens)
    still = [name for name, turn in (("A", a), ("B", b)) if np.abs(turn.frequencies).max(initial=0) < 1e-6]
    if len(still) == 2:
        parts = list(_lengths(a, b))
    elif still:
        return _one_turns(scene, still[0], a, b)
    else:
        parts = [*_layout(a, b), *_sizes(scene, a, b), *_directions(a, b), *_speeds(scene, a, b, tokens)]
        parts += [*_lengths(a, b), *_offsets(a, b)]
    if not parts:
        return None
    evidence = "measured from what is turned and what comes of it, pair by pair; what isn't named is the same."
    return Hint(parts[0].name, "; ".join(part.title for part in parts), evidence)


def _of_one_size(turn: Rotation, other: Rotation, still: float) -> Rotation:
    """A rotation without the pairs beyond the other's, if these don't turn: whether they belong to it can't be seen."""
    count = len(other.frequencies)
    beyond = np.abs(turn.frequencies[count:])
    if turn.way == "halves" or turn.last or not len(beyond) or beyond.max() > still:
        return turn
    return replace(turn, frequencies=turn.frequencies[:count], starts=turn.starts[:count])


def _one_turns(scene: Scene, still: str, a: Rotation, b: Rotation) -> Hint:
    turning, turn = ("B", b) if still == "A" else ("A", a)
    evidence = f"{turning} turns {len(turn.frequencies)} pairs of each head."
    if scene.leaf == ":v":
        return Hint("rope-extra", f"{turning} turns v by its positions, too", evidence)
    return Hint("rope-missing", f"{still} doesn't turn by positions at all: RoPE is left out", evidence)


def _layout(a: Rotation, b: Rotation) -> Iterator[_Part]:
    if a.way != b.way:
        yield _Part("rope-layout", f"The RoPE layout is swapped: A turns {a.way}, B {b.way}")


def _sizes(scene: Scene, a: Rotation, b: Rotation) -> Iterator[_Part]:
    share = _share(scene)
    known = f" ({share[0]} {share[1]:g})" if share else ""
    if a.size != b.size:
        yield _Part(
            "rope-partial",
            f"RoPE turns {a.size} of a head's {a.width} values in A, {b.size} in B, a partial rotation{known}",
        )
    elif a.last != b.last:
        ends = ["last" if turn.last else "first" for turn in (a, b)]
        yield _Part(
            "rope-partial", f"RoPE turns the {ends[0]} {a.size} values of a head in A, the {ends[1]} in B{known}"
        )


def _share(scene: Scene) -> tuple[str, float] | None:
    """What a configuration says of a partial rotation, and in which field."""
    for fields in (scene.config, *rope_fields(scene.config)):
        for name in _SHARES:
            if share := real(fields, name):
                return name, share
    return None


def _directions(a: Rotation, b: Rotation) -> Iterator[_Part]:
    signs = [float(np.sign(turn.frequencies[np.abs(turn.frequencies).argmax()])) for turn in (a, b)]
    if signs[0] != signs[1]:
        yield _Part("rope-direction", "RoPE turns in opposite directions in A and B: the sign of the sine")


def _speeds(scene: Scene, a: Rotation, b: Rotation, tokens: int) -> Iterator[_Part]:
    speeds = [np.abs(turn.frequencies) for turn in (a, b)]
    known = [side * tokens > _MEASURABLE * scene.unit for side in speeds]
    if a.size == b.size:
        known = [(known[0] | known[1]) & (speeds[0] > 0) & (speeds[1] > 0)] * 2
        places = np.flatnonzero(known[0])
        if not len(places) or np.abs(speeds[0][places] / speeds[1][places] - 1).max() < ALIKE:
            return
    configs = [*rope_fields(scene.comparison.b.run.config), *rope_fields(scene.comparison.a.run.config)]
    laws = [law_of(side, sure, configs) for side, sure in zip(speeds, known, strict=True)]
    if laws[0] is None or laws[1] is None:
        if a.size == b.size:
            yield from _ratios(speeds[0] / np.maximum(speeds[1], 1e-30), known[0] & known[1])
        return
    yield from _bases(laws[0], laws[1], a, b)
    yield from _factors(laws[0], laws[1])


def _bases(a: Law, b: Law, turn_a: Rotation, turn_b: Rotation) -> Iterator[_Part]:
    if abs(a.base / b.base - 1) < 2 * ALIKE:
        return
    title = f"RoPE's base (rope_theta) is {_shown(a.base)} in A, {_shown(b.base)} in B"
    for side, own, other, turn in (("A", a, b, turn_a), ("B", b, a, turn_b)):
        if turn.size < turn.width and abs(own.base / other.base ** (turn.size / turn.width) - 1) < 2 * ALIKE:
            title += f": {_shown(other.base)} with exponents of the whole head of {turn.width} in {side}"
    yield _Part("rope-base", title)


def _shown(base: float) -> str:
    """A base is a round number: as many digits as are sure."""
    return f"{float(f'{base:.2g}'):,.0f}"


def _factors(a: Law, b: Law) -> Iterator[_Part]:
    if abs(a.factor / b.factor - 1) < ALIKE and (a.kind == b.kind or a.factor == 1):
        return
    scalings = [_scaling(law) for law in (a, b)]
    if "" in scalings:
        side, scaling = ("B", scalings[1]) if not scalings[0] else ("A", scalings[0])
        other = "A" if side == "B" else "B"
        yield _Part("rope-scaling", f"RoPE's {scaling} in {side}, which {other} doesn't have")
    else:
        yield _Part("rope-scaling", f"RoPE's {scalings[0]} in A, {scalings[1]} in B")


def _scaling(law: Law) -> str:
    if abs(law.factor - 1) < ALIKE:
        return ""
    if law.kind == "linear":
        return f"positions are divided by {law.factor:.3g}" + " (linear scaling)"
    return f"frequencies are scaled as {law.kind} does, factor {law.factor:.3g} (rope_parameters)"


def _ratios(ratio: Numbers, known: npt.NDArray[np.bool_]) -> Iterator[_Part]:
    """No law of one side is known: the same factor for all pairs, or none for the fast ones and one for the slow."""
    ratio = ratio[known]
    if len(ratio) < 2:
        return
    slow = float(ratio[-1])
    side, factor = ("A", 1 / slow) if slow < 1 else ("B", slow)
    if np.abs(ratio / slow - 1).max() < ALIKE:
        yield _Part("rope-scaling", f"RoPE's positions are divided by {factor:.3g} in {side} (linear scaling)")
    elif abs(float(ratio[0]) - 1) < ALIKE and not (np.diff(ratio) * (1 if slow > 1 else -1) < -ALIKE).any():
        fast = int((np.abs(ratio - 1) < ALIKE).sum())
        yield _Part(
            "rope-scaling",
            f"RoPE is scaled in {side} alone, as YaRN or Llama 3's scaling do: the {fast} fastest pairs turn alike, "
            f"the slowest measured one {factor:.3g} times slower",
        )


def _lengths(a: Rotation, b: Rotation) -> Iterator[_Part]:
    if abs(a.length / b.length - 1) > ALIKE / 10:
        yield _Part(
            "rope-scaling",
            f"RoPE's cosines and sines are multiplied by {a.length:.4g} in A, {b.length:.4g} in B, as YaRN's attention "
            "factor does",
        )


def _offsets(a: Rotation, b: Rotation) -> Iterator[_Part]:
    starts = [offset_of(turn) for turn in (a, b)]
    if None in starts or starts[0] == starts[1]:
        return
    shift = (starts[0] or 0) - (starts[1] or 0)
    ahead, behind = ("A", "B") if shift > 0 else ("B", "A")
    yield _Part("position-offset", f"{ahead}'s positions are {abs(shift)} further on than {behind}'s")


def offset_of(turn: Rotation) -> int | None:
    """The position at which a rotation starts; None if it is no whole number."""
    for distance in range(_FARTHEST + 1):
        for start in (distance, -distance):
            if float(np.abs(np.exp(1j * turn.starts) - np.exp(1j * start * turn.frequencies)).max()) < 1e-2:
                return start
    return None
