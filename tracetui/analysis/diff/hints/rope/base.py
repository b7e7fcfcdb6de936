"""RoPE from the numbers: what each side turns, how, and how fast, from its tables or from q and k before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.attention.projections import Before, befores, rotated_sizes
from tracetui.analysis.diff.hints.rope.compare import compared
from tracetui.analysis.diff.hints.rope.rotation import Rotation, rotation_of, rotation_of_table
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.recording.record import INPUT

_TURNS = 1e-3
"""Radians a position: what turns slower doesn't turn."""
_NORMED = {
    "normed": "normalises them before RoPE",
    "plain": "doesn't normalise them",
    "after": "normalises them after RoPE",
    "whole": "normalises all heads of a token at once",
}


def rope_tables(scene: Scene) -> Hint | None:
    """Tables of cosines and sines that are another rotation's."""
    if scene.leaf != "rotary_emb":
        return None
    turns = [None if table is None else rotation_of_table(*table, scene.limit) for table in _tables(scene)]
    if turns[0] is None or turns[1] is None or turns[0].size != turns[1].size:
        return None
    return compared(scene, turns[0], turns[1], scene.target.a.shape[-2])


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


def turning(scene: Scene) -> Hint | None:
    """Queries or keys beside what they are made of: how they are normalised, cut and turned on each side."""
    role = scene.leaf.removeprefix(":")
    if scene.leaf not in (":q", ":k", ":v") or scene.target.a.ndim != 4:
        return None
    candidates = list(befores(scene, role, scene.target.a.shape))
    a, b = (_way_of(scene, candidates, side) for side in (scene.target.a, scene.target.b))
    if a is None or b is None:
        return None
    if a.before.kind != b.before.kind:
        return _made_otherwise(role, a.before.kind, b.before.kind)
    return compared(scene, a.turn, b.turn, scene.target.a.shape[2])


@dataclass(frozen=True, eq=False, slots=True)
class _Made:
    """How one side's heads are made."""

    before: Before
    turn: Rotation


def _way_of(scene: Scene, candidates: list[Before], after: Numbers) -> _Made | None:
    """The first of the candidates that a rotation turns into these heads, with that rotation."""
    sizes = rotated_sizes(scene, after.shape[-1])
    for before in candidates:
        made = after if before.gains is None else after / before.gains
        turn = rotation_of(before.heads, np.asarray(made), scene.limit, scene.unit, sizes)
        if turn is not None:
            return _Made(before, turn)
    return None


def _made_otherwise(role: str, a: str, b: str) -> Hint:
    evidence = f"with that, a rotation makes each side's {role} of what was recorded before it."
    if a in _NORMED and b in _NORMED:
        title = f"{role}'s heads are normalised otherwise ({role}_norm): A {_NORMED[a]}, B {_NORMED[b]}"
        return Hint("qk-norm", title, evidence)
    return Hint("fused-layout", f"The rows of the fused qkv are cut {a} in A, {b} in B", evidence)


def given_turned(scene: Scene) -> Hint | None:
    """What enters a norm of q or k is turned by its positions on one side: it is applied after RoPE there."""
    name = scene.record.module.rpartition(".")[2]
    role = {"q_norm": "q", "k_norm": "k"}.get(name)
    projected = None if role is None else scene.borrowed(f".self_attn.{role}_proj")
    if scene.leaf != f":{INPUT}" or projected is None or scene.target.a.ndim != 4:
        return None
    sides = {"A": scene.target.a, "B": scene.target.b}  # [B,T,H,K]
    for late, early in ("AB", "BA"):
        if not _are_among(sides[early], projected, scene.limit):
            continue
        heads = [sides[side].swapaxes(1, 2) for side in (early, late)]  # [B,H,T,K]
        turn = rotation_of(heads[0], heads[1], scene.limit, scene.unit, rotated_sizes(scene, heads[0].shape[-1]))
        if turn is not None and np.abs(turn.frequencies).max() > _TURNS:
            title = f"{name} is applied after RoPE in {late}, before it in {early}"
            evidence = f"what it is given in {late} is what {role}_proj made, as {early} gives it, turned by positions."
            return Hint("qk-norm", title, evidence)
    return None


def _are_among(heads: Numbers, projected: Numbers, limit: float) -> bool:
    """Whether each token's heads [B,T,H,K] are some of what was projected for it [B,T,D], as they are."""
    rows = projected.reshape(-1, projected.shape[-1])
    own = heads.reshape(heads.shape[0] * heads.shape[1], -1)
    if len(rows) != len(own):
        return False
    for row, values in zip(rows, own, strict=True):
        known = np.sort(row)
        at = np.searchsorted(known, values).clip(1, len(known) - 1)
        apart = np.minimum(np.abs(known[at] - values), np.abs(known[at - 1] - values))
        if float(apart.max()) > limit * float(np.abs(row).max()):
            return False
    return True


def normed_late(scene: Scene) -> Hint | None:
    """A norm of q or k that returns what it normalised turned by its positions: it is applied after RoPE."""
    role = {"q_norm": "q", "k_norm": "k"}.get(scene.leaf)
    shape = scene.target.a.shape
    if role is None or len(shape) != 4:
        return None
    sides = {"A": scene.target.a, "B": scene.target.b}
    heads = {name: side.swapaxes(1, 2) for name, side in sides.items()}  # [B,H,T,K]
    candidates = [before for before in befores(scene, role, heads["A"].shape) if before.kind == "plain"]
    for late, early in ("AB", "BA"):
        for before in candidates:
            unit = before.heads / np.sqrt(np.square(before.heads).mean(axis=-1, keepdims=True))
            gains = (heads[early] * unit).sum(axis=(0, 1, 2)) / np.square(unit).sum(axis=(0, 1, 2))  # [K]
            if float(np.linalg.norm(gains * unit - heads[early])) > scene.limit * float(np.linalg.norm(heads[early])):
                continue
            turn = rotation_of(unit, np.asarray(heads[late] / gains), scene.limit, scene.unit)
            if turn is not None and np.abs(turn.frequencies).max() > _TURNS:
                title = f"{scene.leaf} is applied after RoPE in {late}, before it in {early}"
                evidence = f"what it returns in {late} is what it returns in {early}, turned by the positions."
                return Hint("qk-norm", title, evidence)
    return None
