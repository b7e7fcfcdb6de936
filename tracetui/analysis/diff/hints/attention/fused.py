"""Heads that were cut out of the wrong rows of q, k and v: which block of the projections each is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.attention.projections import FUSED, blocks_of
from tracetui.analysis.diff.hints.scene import Hint, Scene

_PARTS = (".self_attn.q_proj", ".self_attn.k_proj", ".self_attn.v_proj")
_SHOWN = 12


@dataclass(frozen=True, eq=False, slots=True)
class _Blocks:
    """What the projections made, in blocks as wide as a head [n,N,K]."""

    values: Numbers
    names: tuple[str, ...]


def fused_rows(scene: Scene) -> Hint | None:
    """Blocks by their lengths at every token, which a rotation keeps: another block, or the same in another place."""
    if scene.leaf not in (":q", ":k", ":v") or scene.target.a.ndim != 4:
        return None
    blocks = _blocks(scene, scene.target.a.shape[-1])
    if blocks is None:
        return None
    order_a, order_b = (_order(side, blocks.values, scene.limit) for side in (scene.target.a, scene.target.b))
    if order_a is None or order_b is None or order_a == order_b:
        return None
    a, b = ([blocks.names[place] for place in order] for order in (order_a, order_b))
    kept = sum(one == other for one, other in zip(a, b, strict=True))
    role = scene.leaf[1:]
    return Hint(
        "fused-layout",
        f"The heads of {role} are cut out of other rows: A's are {_listed(a)} of the projections, B's {_listed(b)}"
        f"{_grouped(a, b)}",
        f"by the lengths of all heads at every token; {kept} of {len(a)} heads of {role} are B's.",
    )


def _blocks(scene: Scene, size: int) -> _Blocks | None:
    """All heads of the projections, named by where they stand: q0, k1, v0."""
    apart = [blocks_of(scene.borrowed(place), size) for place in _PARTS]
    if all(part is not None for part in apart):
        parts = [part for part in apart if part is not None]
        names = [f"{role}{place}" for role, part in zip("qkv", parts, strict=True) for place in range(part.shape[2])]
        if len({part.shape[:2] for part in parts}) != 1:
            return None
        return _Blocks(_rows(np.concatenate(parts, axis=2)), tuple(names))
    for place in FUSED:
        fused = blocks_of(scene.borrowed(place), size)
        if fused is not None:
            return _Blocks(_rows(fused), tuple(f"block {number}" for number in range(fused.shape[2])))
    return None


def _rows(blocks: Numbers) -> Numbers:
    return np.moveaxis(blocks, 2, 0).reshape(blocks.shape[2], -1, blocks.shape[3])


def _order(heads: Numbers, blocks: Numbers, limit: float) -> list[int] | None:
    """For each head [B,H,T,K] the block [n,N,K] that is as long at every token; None where one has none."""
    lengths = np.linalg.norm(np.moveaxis(heads, 1, 0).reshape(heads.shape[1], -1, heads.shape[3]), axis=-1)  # [H,N]
    known = np.linalg.norm(blocks, axis=-1)  # [n,N]
    if lengths.shape[1] != known.shape[1] or lengths.shape[1] < 3:
        return None
    apart = np.linalg.norm(lengths[:, None] - known[None], axis=-1) / np.linalg.norm(known, axis=-1)  # [H,n]
    nearest = apart.argmin(axis=1)
    return [int(place) for place in nearest] if float(apart.min(axis=1).max()) < limit else None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _grouped(a: list[str], b: list[str]) -> str:
    """What was mistaken for what, where the kinds tell: q with k and v in it lies by groups."""
    kinds = [{name[0] for name in names} for names in (a, b)]
    if len(kinds[0]) == len(kinds[1]) == 1 or "b" in kinds[0] | kinds[1]:
        return ""
    side = "A" if len(kinds[0]) > 1 else "B"
    return f": rows that lie by groups (q … k v) and rows that lie as Q|K|V were taken for each other in {side}"
