"""How heads are turned by their positions: which pairs, and how fast each, measured from what comes in and goes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.scene import Scene

_BEFORE = {
    "q": (".self_attn.q_norm", ".self_attn.q_proj", ".self_attn.q_b_proj"),
    "k": (".self_attn.k_norm", ".self_attn.k_proj"),
}
FEWEST = 3
"""Positions without which a speed can't be told from a place to start from."""


def halves(heads: Numbers) -> Numbers:
    """Complex numbers [B,H,T,K/2] of the pairs (j, j + K/2)."""
    half = heads.shape[-1] // 2
    return np.asarray(heads[..., :half] + 1j * heads[..., half:])


def pairs(heads: Numbers) -> Numbers:
    """Complex numbers [B,H,T,K/2] of neighbours."""
    return np.asarray(heads[..., ::2] + 1j * heads[..., 1::2])


WAYS = {
    "halves": (halves, halves),
    "adjacent pairs": (pairs, pairs),
    "adjacent pairs, put into halves": (pairs, halves),
}
"""Which values of a head are turned together, and where they then lie."""


@dataclass(frozen=True, eq=False, slots=True)
class Rotation:
    """Positions as angles."""

    way: str
    """Of `WAYS`."""
    frequencies: Numbers
    """Radians a position, of each pair [K/2]."""
    length: float
    """What the rotation multiplies lengths by: 1 but for YaRN's attention factor."""

    def turned(self, heads: Numbers, way: str = "", frequencies: Numbers | None = None) -> Numbers:
        """Heads [B,H,T,K] turned so, or with one thing changed."""
        taken, put = WAYS[way or self.way]
        speeds = self.frequencies if frequencies is None else frequencies
        angles = np.arange(heads.shape[2])[:, None] * speeds  # [T,K/2]
        turned = taken(heads) * np.exp(1j * angles) * self.length  # [B,H,T,K/2]
        if put is halves:
            return np.concatenate((turned.real, turned.imag), axis=-1)
        return np.stack((turned.real, turned.imag), axis=-1).reshape(heads.shape)


def before_rotation(scene: Scene, role: str, shape: tuple[int, ...]) -> Numbers | None:
    """The heads of `shape` [B,H,T,K] before they are turned; None where they weren't recorded on both sides."""
    found = next((near for place in _BEFORE.get(role, ()) if (near := scene.near(place)) is not None), None)
    both = None if found is None else scene.both(found)
    if both is None or len(shape) != 4 or both.a.size != np.prod(shape):
        return None
    batch, heads, tokens, size = shape
    return both.a.reshape(batch, tokens, heads, size).swapaxes(1, 2)


def rotation_of(before: Numbers, after: Numbers, limit: float) -> Rotation | None:
    """The rotation that makes `after` of `before`, both [B,H,T,K], to `limit` of its norm; None if none does."""
    if before.shape[2] < FEWEST or before.shape[3] < 4 or before.shape[3] % 2:
        return None
    for way, (taken, put) in WAYS.items():
        x, y = taken(before), put(after)
        products = (y * x.conj()).sum(axis=(0, 1))  # [T,K/2]
        speeds, starts = _lines(np.unwrap(np.angle(products), axis=0))
        length = float(np.abs(products).sum() / np.square(np.abs(x)).sum())
        made = x * np.exp(1j * (starts + np.arange(x.shape[2])[:, None] * speeds)) * length
        if float(np.linalg.norm(made - y)) <= limit * float(np.linalg.norm(y)):
            return Rotation(way, speeds, length)
    return None


def rotation_of_table(cos: Numbers, sin: Numbers, limit: float) -> Rotation | None:
    """The rotation of tables [T,K], or [T,K/2] where each angle stands once."""
    if cos.shape != sin.shape or cos.ndim != 2 or len(cos) < FEWEST:
        return None
    half = cos.shape[1] // 2
    if half and np.array_equal(cos[:, :half], cos[:, half:]):
        cos, sin = cos[:, :half], sin[:, :half]
    elif half and np.array_equal(cos[:, ::2], cos[:, 1::2]):
        cos, sin = cos[:, ::2], sin[:, ::2]
    table = cos + 1j * sin  # [T,K/2]
    speeds, starts = _lines(np.unwrap(np.angle(table), axis=0))
    length = float(np.abs(table).mean())
    made = np.exp(1j * (starts + np.arange(len(table))[:, None] * speeds)) * length
    if float(np.linalg.norm(made - table)) > limit * float(np.linalg.norm(table)):
        return None
    return Rotation("halves", speeds, length)


def _lines(phases: Numbers) -> tuple[Numbers, Numbers]:
    """Slope and start of the line through each column of [T,K/2]."""
    steps = np.arange(len(phases)) - (len(phases) - 1) / 2  # [T]
    slopes = (steps[:, None] * phases).sum(axis=0) / np.square(steps).sum()
    return slopes, phases.mean(axis=0) - slopes * (len(phases) - 1) / 2
