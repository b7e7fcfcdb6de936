"""Faults of rotary positions: pairs where halves are meant, and positions that are shifted."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.arrays import Both, Numbers
from tracetui.analysis.diff.hints.rope.rotation import halves, pairs
from tracetui.analysis.diff.hints.scene import Hint, Scene, explains, left_over, real, whole
from tracetui.analysis.mapping.layouts import halves_from_pairs, pairs_from_halves

_TURNED = (":q", ":k")
_PROJECTIONS = ("q_proj", "k_proj", "q_norm", "k_norm")
_POSITIONS = ("rotary_emb", "wpe", "embed_positions", "position_embeddings", "pos_emb")
_HEAD_SIZES = (128, 64, 256, 96, 80, 32)
"""The usual ones, for files that say nothing of theirs."""
_FARTHEST = 64
"""Positions by which a shift is looked for."""


def rope_layout(scene: Scene) -> Hint | None:
    """Rows of q or k in the other order."""
    return _other_rows(scene) if scene.leaf in _PROJECTIONS else None


def _other_rows(scene: Scene) -> Hint | None:
    own = _head_size(scene)
    for size in (own,) if own else _HEAD_SIZES:
        if (found := _rows_of(scene.target, size)) is not None:
            return found
    return None


def _rows_of(found: Both, size: int) -> Hint | None:
    """The same for heads of one size."""
    if size < 4 or size % 2 or found.a.shape[-1] % size:
        return None
    for layout, a, b in (
        (halves_from_pairs(size), "halves", "adjacent pairs"),
        (pairs_from_halves(size), "adjacent pairs", "halves"),
    ):
        turned = layout.apply(found.b)
        if explains(found.a, turned, found.b):
            left = left_over(found.a, turned, found.b)
            return Hint(
                "rope-layout",
                f"The RoPE layout is swapped: A's rows lie for {a}, B's for {b}",
                f"with each head of {size} reordered, all but {left:.1e} of the difference is gone.",
            )
    return None


def _head_size(scene: Scene) -> int:
    for place in (".self_attn:q", ".self_attn:k"):
        found = scene.near(place)
        if found is not None and len(found.pair.a.record.shape) == 4:
            return found.pair.a.record.shape[-1]
    own = whole(scene.config, "head_dim")
    heads = whole(scene.config, "num_attention_heads")
    return own or (whole(scene.config, "hidden_size") // heads if heads else 0)


def position_offset(scene: Scene) -> Hint | None:
    """Positions that begin elsewhere on one side: in what is made of them, or in the angles of q and k."""
    if scene.leaf in _POSITIONS:
        return _shifted_table(scene)
    return _shifted_angles(scene) if scene.leaf in _TURNED and scene.target.a.ndim == 4 else None


def _shifted_table(scene: Scene) -> Hint | None:
    a, b = scene.target.a, scene.target.b
    if a.ndim < 2:
        return None
    a, b = (side.reshape(-1, *side.shape[-2:])[0] for side in (a, b))  # [T,K]
    for shift in range(1, min(_FARTHEST, len(a) - 2) + 1):
        for sign, one, other in ((1, a[:-shift], b[shift:]), (-1, a[shift:], b[:-shift])):
            apart = b[:-shift] if sign > 0 else b[shift:]
            if explains(one, other, apart):
                left = left_over(one, other, apart)
                return _offset_hint(sign * shift, f"rows {shift} apart are the same, to {left:.1e} of the difference.")
    return None


def _offset_hint(shift: int, evidence: str) -> Hint:
    ahead, behind = ("A", "B") if shift > 0 else ("B", "A")
    return Hint("position-offset", f"{ahead}'s positions are {abs(shift)} further on than {behind}'s", evidence)


def _shifted_angles(scene: Scene) -> Hint | None:
    """Every pair is turned by one angle at all tokens and heads: that of a whole number of positions."""
    theta = real(scene.config, "rope_theta") or _nested_theta(scene) or 10_000.0
    size = scene.target.a.shape[-1]
    if scene.target.a.shape[2] < 2 or size % 2:
        return None
    frequencies = theta ** (-2 * np.arange(size // 2) / size)  # [K/2]
    for kind in (halves, pairs):
        one, other = kind(scene.target.a), kind(scene.target.b)
        products = (one * other.conj()).sum(axis=(0, 1, 2))  # [K/2]
        steady = np.abs(products) / (np.abs(one) * np.abs(other)).sum(axis=(0, 1, 2))
        if not (steady > 1 - max(1e-4, scene.unit)).all():
            continue
        shift = _whole_shift(np.angle(products), frequencies)
        if shift:
            count = "1 position" if abs(shift) == 1 else f"{abs(shift)} positions"
            evidence = f"all pairs of {scene.leaf[1:]} are turned by the angles of {count} at every token."
            return _offset_hint(shift, evidence)
    return None


def _whole_shift(angles: Numbers, frequencies: Numbers) -> int:
    """The smallest number of positions that makes these angles; 0 if none does."""
    for distance in range(1, _FARTHEST + 1):
        for shift in (distance, -distance):
            if float(np.abs(np.exp(1j * angles) - np.exp(1j * shift * frequencies)).max()) < 1e-2:
                return shift
    return 0


def _nested_theta(scene: Scene) -> float | None:
    nested = scene.config.get("rope_parameters")
    found = nested.get("rope_theta") if isinstance(nested, dict) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
