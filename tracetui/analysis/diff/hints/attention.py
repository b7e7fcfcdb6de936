"""Faults inside an attention kernel, found by computing the heads again with one thing changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.arrays import Both, Numbers
from tracetui.analysis.diff.hints.scene import EXPLAINED, Hint, Scene
from tracetui.analysis.diff.hints.turned import Turned, turned_otherwise

Shape = tuple[int, ...]
Flags = npt.NDArray[np.bool_]
_HEADS = 8
"""Heads that are computed again, spread over all."""
_TOKENS = 512
"""Queries and keys that are looked at, from the start."""
_MASKS = {0: "as far as itself", 1: "one position ahead", -1: "not itself", None: "everything"}


@dataclass(frozen=True, slots=True)
class _Way:
    """One way in which heads may be computed."""

    tiled: bool
    """Key-value head h mod G for head h, rather than h·G // H."""
    scale: float
    shift: int | None
    """How many positions a query sees too many; None: no mask at all."""
    turned: str = ""
    """Another way in which queries and keys may be turned by their positions; empty: as recorded."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """A way, and how much of the difference it leaves over."""

    way: _Way
    left: float


def attention_call(scene: Scene) -> Hint | None:
    """Heads whose q, k and v agree: which groups, scale or mask makes each side's of them?"""
    if scene.leaf != ":heads":
        return None
    q, k, v = (scene.lent(role) for role in ("q", "k", "v"))
    if q is None or k is None or v is None:
        return None
    target = _apart(scene.target, q.shape)
    if not _go_together(target.a.shape, q.shape, k.shape, v.shape):
        return None
    inputs = _Inputs.of(scene, q, k, v)
    ways = _ways(scene, inputs)
    fits = [_best(inputs, side, ways) for side in _picked(target, inputs)]
    a, b = fits
    if a is None or b is None:
        return None
    changed = [name for name in _HINTS if getattr(a.way, name) != getattr(b.way, name)]
    return _HINTS[changed[0]](a, b, inputs) if len(changed) == 1 else None


def _apart(heads: Both, q: Shape) -> Both:
    """Heads that a script keeps side by side, [B,T,H·Kv], as [B,H,T,Kv]."""
    shape = heads.a.shape
    if len(q) != 4 or len(shape) != 3 or shape[:2] != (q[0], q[2]) or shape[2] % q[1]:
        return heads
    a, b = (side.reshape(*shape[:2], q[1], -1).swapaxes(1, 2) for side in (heads.a, heads.b))
    return Both(a, b)


def _go_together(heads: Shape, q: Shape, k: Shape, v: Shape) -> bool:
    """Whether these are [B,H,T,Kv] [B,H,T,K] [B,G,S,K] [B,G,S,Kv]: a file may have any shapes under the names."""
    if {len(shape) for shape in (heads, q, k, v)} != {4}:
        return False
    return heads[:3] == q[:3] and k[:3] == v[:3] and (q[0], q[3]) == (k[0], k[3]) and heads[3] == v[3]


@dataclass(frozen=True, eq=False, slots=True)
class _Inputs:
    """The first prompt's q [H,T,K], k [G,S,K] and v [G,S,Kv], and who may see whom [T,S]."""

    q: Numbers
    k: Numbers
    v: Numbers
    seen: Flags
    picked: tuple[int, ...]
    """The heads that are computed."""
    others: Mapping[str, Turned]
    """q and k turned otherwise, by name."""

    @staticmethod
    def of(scene: Scene, q: Numbers, k: Numbers, v: Numbers) -> _Inputs:
        tokens, keys = min(q.shape[2], _TOKENS), min(k.shape[2], _TOKENS)
        mask = scene.beside("mask")
        seen = np.tril(np.ones((tokens, keys), dtype=bool), keys - tokens)
        if mask is not None and mask.a.ndim == 4:
            told = _seen(mask.a[0, 0])[:tokens, :keys]
            seen = told if told.shape == seen.shape else seen
        heads = q.shape[1]
        picked = tuple(sorted({heads * place // _HEADS for place in range(_HEADS)}))
        others = turned_otherwise(scene, q, k)
        return _Inputs(q[0, :, :tokens], k[0, :, :keys], v[0, :, :keys], seen, picked, others)

    def heads(self, way: _Way) -> Numbers:
        """The picked heads [h,T,Kv] computed in a way."""
        q, k = self._turned(way.turned)
        count, groups = len(q), len(k)
        shared = [head % groups if way.tiled else head * groups // count for head in self.picked]
        scores = q[list(self.picked)] @ k[shared].swapaxes(1, 2) * way.scale  # [h,T,S]
        scores = np.where(self._visible(way.shift), scores, -np.inf)
        top = scores.max(axis=-1, keepdims=True)
        weights = np.exp(scores - np.where(np.isfinite(top), top, 0))  # [h,T,S]
        total = weights.sum(axis=-1, keepdims=True)
        return np.asarray((weights / np.where(total > 0, total, 1)) @ self.v[shared])  # [h,T,Kv]

    def _turned(self, name: str) -> tuple[Numbers, Numbers]:
        if not name:
            return self.q, self.k
        other = self.others[name]
        return other.q[0, :, : self.q.shape[1]], other.k[0, :, : self.k.shape[1]]

    def _visible(self, shift: int | None) -> Flags:
        if shift is None:
            return np.ones_like(self.seen)
        rows = np.clip(np.arange(len(self.seen)) + shift, 0, len(self.seen) - 1)
        seen: Flags = self.seen[rows].copy()
        if shift > 0:
            # Nothing tells what the query after the last one sees.
            seen[-1] = True
        return seen


def _seen(mask: Numbers) -> Flags:
    """Which keys [T,S] a mask shows: one of booleans, or one that is added to the scores."""
    return np.asarray(mask > 0.5) if set(np.unique(mask)) <= {0.0, 1.0} and mask.max() > 0 else np.asarray(mask > -1e4)


def _ways(scene: Scene, inputs: _Inputs) -> list[_Way]:
    size = inputs.q.shape[-1]
    recorded = {
        call.scale
        for trace, named in ((scene.comparison.a, scene.site.pair.a), (scene.comparison.b, scene.site.pair.b))
        if (call := trace.attention.get(named.record.key.replace(":heads", ":q"))) is not None
    }
    usual = sorted(recorded)[0] if recorded else size**-0.5
    base = _Way(tiled=False, scale=usual, shift=0)
    scales = {*recorded, size**-0.5, 1.0, 1 / size}
    ways = [base, *(replace(base, scale=scale) for scale in sorted(scales) if scale != usual)]
    ways += [replace(base, shift=shift) for shift in (1, -1, None)]
    if 1 < len(inputs.k) < len(inputs.q):
        ways.append(replace(base, tiled=True))
    return ways + [replace(base, turned=name) for name in inputs.others]


def _picked(found: Both, inputs: _Inputs) -> tuple[tuple[Numbers, Numbers], tuple[Numbers, Numbers]]:
    tokens = inputs.q.shape[1]
    a, b = (side[0, list(inputs.picked), :tokens] for side in (found.a, found.b))
    return (a, b), (b, a)


def _best(inputs: _Inputs, sides: tuple[Numbers, Numbers], ways: list[_Way]) -> _Fit | None:
    """The way that makes the first of two sides, if it leaves next to nothing of what they are apart."""
    own, other = sides
    # A query that sees nothing, or whose mask is not known, tells nothing.
    apart = float(np.linalg.norm((own - other)[:, 1:-1]))
    if not apart:
        return None
    fits = [_Fit(way, float(np.linalg.norm((own - inputs.heads(way))[:, 1:-1])) / apart) for way in ways]
    best = min(fits, key=lambda fit: fit.left)
    return best if best.left <= EXPLAINED else None


def _evidence(a: _Fit, b: _Fit, inputs: _Inputs) -> str:
    return (
        f"computed again from q, k and v, {len(inputs.picked)} heads are A's to {a.left:.1e} and B's to {b.left:.1e} "
        "of their difference."
    )


def _groups_hint(a: _Fit, b: _Fit, inputs: _Inputs) -> Hint:
    heads, groups = len(inputs.q), len(inputs.k)
    shared = {False: f"h·{groups}//{heads}", True: f"h mod {groups}"}
    sides = f"head h takes key-value head {shared[a.way.tiled]} in A, {shared[b.way.tiled]} in B"
    return Hint("kv-heads", f"Key-value heads are shared differently: {sides}", _evidence(a, b, inputs))


def _scale_hint(a: _Fit, b: _Fit, inputs: _Inputs) -> Hint:
    sides = f"{a.way.scale:.6g} in A, {b.way.scale:.6g} in B"
    missing = " (1 is no scale at all)" if 1.0 in (a.way.scale, b.way.scale) else ""
    return Hint("softmax-scale", f"The scores are scaled by {sides}{missing}", _evidence(a, b, inputs))


def _mask_hint(a: _Fit, b: _Fit, inputs: _Inputs) -> Hint:
    sides = f"{_MASKS[a.way.shift]} in A, {_MASKS[b.way.shift]} in B"
    return Hint("mask", f"The mask differs: a query sees {sides}", _evidence(a, b, inputs))


def _turned_hint(a: _Fit, b: _Fit, inputs: _Inputs) -> Hint:
    other = inputs.others[a.way.turned or b.way.turned]
    sides = (other.here, other.there) if a.way.turned else (other.there, other.here)
    return Hint(other.fault, f"RoPE differs: A {sides[0]}, B {sides[1]}", _evidence(a, b, inputs))


_HINTS = {"tiled": _groups_hint, "scale": _scale_hint, "shift": _mask_hint, "turned": _turned_hint}


def mask_shift(scene: Scene) -> Hint | None:
    """Two masks of which one is the other moved by a position, or hides nothing."""
    found = scene.target
    if scene.leaf != ":mask" or found.a.ndim < 2 or min(found.a.shape[-2:]) < 3:
        return None
    a, b = (_seen(side.reshape(-1, *side.shape[-2:])[0]) for side in (found.a, found.b))  # [T,S]
    if a.all() or b.all():
        sides = ("A", "B") if a.all() else ("B", "A")
        hidden = int((~(b if a.all() else a)).sum())
        return Hint("mask", f"{sides[0]}'s mask hides nothing", f"{sides[1]}'s hides {hidden} of {a.size} places.")
    for shift in (1, -1):
        if _moved(a, b, shift):
            ahead = ("A", "B") if shift > 0 else ("B", "A")
            return Hint(
                "mask",
                f"The mask is off by one: {ahead[0]}'s queries see one position further than {ahead[1]}'s",
                f"row t of {ahead[0]}'s mask is row t + 1 of {ahead[1]}'s, for {len(a) - 1} rows.",
            )
    return None


def _moved(a: Flags, b: Flags, shift: int) -> bool:
    """Whether row t of A's is row t + shift of B's."""
    one, other = (a[:-1], b[1:]) if shift > 0 else (a[1:], b[:-1])
    return bool((one == other).all())


def head_order(scene: Scene) -> Hint | None:
    """Heads that are the other side's, in another order or repeated in another way."""
    if scene.leaf not in (":k", ":v", ":q") or scene.target.a.ndim != 4:
        return None
    a, b = (side.swapaxes(0, 1).reshape(side.shape[1], -1) for side in (scene.target.a, scene.target.b))  # [H,B·T·K]
    scale = float(np.square(b).sum(axis=1).mean())
    apart = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None, :] - 2 * a @ b.T  # [H,H]
    order = [int(place) for place in apart.argmin(axis=1)]
    near = apart.min(axis=1) <= max(1e-6, scene.unit**2) * scale
    if not near.all() or order == list(range(len(order))) or (apart.diagonal() <= 1e-6 * scale).all():
        return None
    shown = ", ".join(map(str, order[:12])) + (", …" if len(order) > 12 else "")
    return Hint(
        "kv-heads",
        f"The heads of {scene.leaf[1:]} stand in another order: repeated or split differently",
        f"A's heads are B's {shown}.",
    )
