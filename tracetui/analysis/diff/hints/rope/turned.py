"""Queries and keys turned in another way than the side that recorded them did: what a port may have made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.attention.projections import befores, rotated_sizes
from tracetui.analysis.diff.hints.rope.rotation import Rotation, rotation_of
from tracetui.analysis.diff.hints.scene import Scene, real

_OTHER_KIND = {"halves": "adjacent pairs", "adjacent pairs": "halves"}
_BASES = (10_000.0, 500_000.0, 1_000_000.0)
"""What families have, beside what either configuration says."""
_APART = 0.02
"""How far apart, relative, two bases are that are not the same."""


@dataclass(frozen=True, eq=False, slots=True)
class Turned:
    """Queries [B,H,T,K] and keys [B,G,S,K] that were turned in one way."""

    q: Numbers
    k: Numbers
    fault: str
    """The name of the hint that it makes."""
    here: str
    """In words, what such a side does."""
    there: str
    """And what the recorded one does."""


def turned_otherwise(scene: Scene, q: Numbers, k: Numbers) -> Mapping[str, Turned]:
    """By name; nothing where both sides recorded what is turned, or one can't tell how it was."""
    if scene.beside("q") is not None or scene.beside("k") is not None:
        return {}
    plain_q, plain_k = (next(befores(scene, role, heads.shape), None) for role, heads in (("q", q), ("k", k)))
    if plain_q is None or plain_k is None:
        return {}
    return _otherwise(scene, plain_q.heads, plain_k.heads, q, k)


def _otherwise(scene: Scene, plain_q: Numbers, plain_k: Numbers, q: Numbers, k: Numbers) -> Mapping[str, Turned]:
    sizes = rotated_sizes(scene, q.shape[-1])
    turn, turn_k = (
        rotation_of(plain, heads, scene.limit, scene.unit, sizes) for plain, heads in ((plain_q, q), (plain_k, k))
    )
    if turn is None or turn_k is None or np.abs(turn.frequencies).max() < 1e-6:
        return {}

    found = {"none": Turned(plain_q, plain_k, "rope-missing", "doesn't turn by positions", f"turns {turn.way}")}
    if turn.way in _OTHER_KIND:
        way = _OTHER_KIND[turn.way]
        q, k = turn.turned(plain_q, way), turn.turned(plain_k, way)
        found["layout"] = Turned(q, k, "rope-layout", f"turns {way}", f"turns {turn.way}")
    share = np.arange(len(turn.frequencies)) / len(turn.frequencies)  # 2j/K
    for base in sorted({*_BASES, *_thetas(scene)}):
        frequencies = base**-share  # [K/2]
        if not _same(frequencies, turn):
            q, k = (turn.turned(plain, frequencies=frequencies) for plain in (plain_q, plain_k))
            found[f"base {base}"] = Turned(q, k, "rope-base", f"turns by the base {base:,.0f}", "turns by another")
    return found


def _same(frequencies: Numbers, turn: Rotation) -> bool:
    return bool((np.abs(turn.frequencies / frequencies - 1) < _APART).all())


def _thetas(scene: Scene) -> list[float]:
    """What both configurations say of the base."""
    found = []
    for config in (scene.comparison.a.run.config, scene.comparison.b.run.config):
        nested = config.get("rope_parameters")
        for fields in (config, nested if isinstance(nested, dict) else {}):
            theta = real(fields, "rope_theta")
            if theta is not None and theta > 1:
                found.append(theta)
    return found
