"""What queries, keys and values are made of: the heads before they are turned, however their projection was cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.scene import Scene, whole

_PLAIN = {
    "q": (".self_attn.q_proj", ".self_attn.q_b_proj", ".self_attn.q_norm:input"),
    "k": (".self_attn.k_proj",),
    "v": (".self_attn.v_proj",),
}
"""What a norm of q is given tells of queries beside which a gate is projected."""
_NORMS = {"q": ".self_attn.q_norm", "k": ".self_attn.k_norm"}
FUSED = (".self_attn.qkv_proj", ".self_attn.query_key_value", ".self_attn.c_attn", ".self_attn.Wqkv")


@dataclass(frozen=True, eq=False, slots=True)
class Before:
    """Heads [B,H,T,K] that may be what one side turns."""

    kind: str
    """`normed`, `plain`, `whole` or `after`; or how a fused projection was cut."""
    heads: Numbers
    gains: Numbers | None = None
    """What is taken off the turned heads first [K]: those of a norm that is applied after the rotation."""


def befores(scene: Scene, role: str, shape: tuple[int, ...]) -> Iterator[Before]:
    """What heads of `shape` may have been turned from, the likeliest first."""
    if len(shape) != 4:
        return
    plain = [heads for place in _PLAIN[role] for heads in _as_heads(scene.borrowed(place), shape)]
    normed = list(_as_heads(scene.borrowed(_NORMS[role]), shape)) if role in _NORMS else []
    yield from (Before("normed", heads) for heads in normed)
    yield from (Before("plain", heads) for heads in plain)
    yield from (before for heads in plain for before in _otherwise_normed(heads, normed))
    if role == "k":
        yield from _of_latents(scene, shape)
    for place in FUSED:
        yield from _cuts(scene, role, scene.borrowed(place), shape)


def _of_latents(scene: Scene, shape: tuple[int, ...]) -> Iterator[Before]:
    """Keys that consist of one part per head, and one rotated part that all heads share."""
    batch, heads, tokens, size = shape
    own, shared = scene.borrowed(".self_attn.kv_b_proj"), scene.borrowed(".self_attn.kv_a_proj_with_mqa")
    turned = whole(scene.config, "qk_rope_head_dim")
    if own is None or shared is None or not 0 < turned < size or own.size % (batch * tokens * heads):
        return
    parts = own.reshape(batch, tokens, heads, -1)[..., : size - turned].swapaxes(1, 2)  # [B,H,T,K-R]
    if parts.shape[-1] != size - turned or shared.size % (batch * tokens) or shared.shape[-1] < turned:
        return
    last = shared.reshape(batch, 1, tokens, -1)[..., -turned:].repeat(heads, axis=1)  # [B,H,T,R]
    yield Before("plain", np.concatenate((parts, last), axis=-1))


def _as_heads(found: Numbers | None, shape: tuple[int, ...]) -> Iterator[Numbers]:
    """[B,T,H·K], [B,T,H,K] or [B,H,T,K] as [B,H,T,K]."""
    batch, heads, tokens, size = shape
    if found is None or found.size != np.prod(shape):
        return
    if found.ndim != 4 or found.shape == (batch, tokens, heads, size):
        yield found.reshape(batch, tokens, heads, size).swapaxes(1, 2)
    if found.shape == shape:
        yield found


def _otherwise_normed(plain: Numbers, normed: list[Numbers]) -> Iterator[Before]:
    """Heads normalised after the rotation, or all of a token's at once, by the gains that a recorded norm has."""
    unit = _unit(plain, -1)
    for recorded in normed:
        gains = (recorded * unit).sum(axis=(0, 1, 2)) / np.square(unit).sum(axis=(0, 1, 2))  # [K]
        if not np.all(gains) or float(np.linalg.norm(gains * unit - recorded)) > 1e-2 * float(np.linalg.norm(recorded)):
            continue
        yield Before("after", unit, gains)
        yield Before("whole", gains * _unit(plain, (1, 3)))


def _unit(heads: Numbers, axes: int | tuple[int, ...]) -> Numbers:
    return np.asarray(heads / np.sqrt(np.maximum(np.square(heads).mean(axis=axes, keepdims=True), 1e-300)))


def _cuts(scene: Scene, role: str, fused: Numbers | None, shape: tuple[int, ...]) -> Iterator[Before]:
    """A fused projection cut as Q|K|V, and by groups of a key-value head with its queries."""
    batch, count, tokens, size = shape
    blocks = blocks_of(fused, size)
    if blocks is None or blocks.shape[:2] != (batch, tokens):
        return
    sizes = _head_counts(scene, role, count, blocks.shape[2])
    if sizes is None:
        return
    heads, groups = sizes
    starts = {"q": 0, "k": heads, "v": heads + groups}
    yield Before("Q|K|V", blocks[:, :, starts[role] : starts[role] + count].swapaxes(1, 2))
    times = heads // groups
    parted = blocks.reshape(batch, tokens, groups, times + 2, size)
    part = {"q": parted[..., :times, :], "k": parted[..., -2:-1, :], "v": parted[..., -1:, :]}[role]
    yield Before("by groups (q … k v)", part.reshape(batch, tokens, count, size).swapaxes(1, 2))


def blocks_of(fused: Numbers | None, size: int) -> Numbers | None:
    """A projection [B,T,n·K] as blocks [B,T,n,K]."""
    if fused is None or fused.ndim != 3 or fused.shape[-1] % size:
        return None
    return fused.reshape(*fused.shape[:2], -1, size)


def _head_counts(scene: Scene, role: str, count: int, blocks: int) -> tuple[int, int] | None:
    """Heads and key-value heads of which a fused projection has so many blocks in all."""
    if role == "q":
        heads, groups = count, (blocks - count) // 2
    else:
        heads, groups = blocks - 2 * count, count
    if groups < 1 or heads < groups or heads % groups or heads + 2 * groups != blocks:
        return None
    return heads, groups


def rotated_sizes(scene: Scene, width: int) -> list[int]:
    """How many values of a head are turned, as configurations say."""
    sizes = [whole(scene.config, name) for name in ("qk_rope_head_dim", "rotary_dim")]
    shares = [scene.config.get(name) for name in ("partial_rotary_factor", "rotary_pct")]
    nested = scene.config.get("rope_parameters")
    shares += [nested.get("partial_rotary_factor")] if isinstance(nested, dict) else []
    return [size for size in sizes if size] + [int(width * share) for share in shares if isinstance(share, float)]
