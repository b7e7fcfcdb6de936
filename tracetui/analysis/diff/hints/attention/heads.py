"""Heads computed again from queries, keys and values, in one way or another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.attention.masks import seen_through, window_of
from tracetui.analysis.diff.hints.rope.turned import Turned, turned_otherwise
from tracetui.analysis.diff.hints.scene import Scene
from tracetui.recording.record import AttentionCall

Flags = npt.NDArray[np.bool_]
_HEADS = 8
"""Heads that are computed again, spread over all."""
TOKENS = 512
"""Queries and keys that are looked at, from the start."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which heads may be computed."""

    scale: float
    softcap: float | None = None
    window: int | None = None
    """Keys that a query sees, its own included; None: all before it."""
    shift: int | None = 0
    """How many positions a query sees too many; None: no mask at all."""
    tiled: bool = False
    """Key-value head h mod G for head h, rather than h·G // H."""
    sinks: bool = False
    alibi: bool = False
    """Whether a slope for each head, times the distance, is taken off the scores."""
    turned: str = ""
    """Another way in which queries and keys may be turned by their positions; empty: as recorded."""


@dataclass(frozen=True, eq=False, slots=True)
class KernelInputs:
    """The first prompt's q [H,T,K], k [G,S,K] and v [G,S,Kv], and who may see whom."""

    q: Numbers
    k: Numbers
    v: Numbers
    mask: Flags | None
    """Which keys [T,S] the recorded mask shows, where it is none of a causal one with a window."""
    window: int | None
    """That of the recorded mask."""
    sinks: Numbers | None
    """[H]"""
    picked: tuple[int, ...]
    """The heads that are computed."""
    rows: tuple[int, ...]
    """The queries that are computed."""
    others: Mapping[str, Turned]
    """q and k turned otherwise, by name."""

    @staticmethod
    def of(scene: Scene, q: Numbers, k: Numbers, v: Numbers) -> KernelInputs:
        tokens, keys = min(q.shape[2], TOKENS), min(k.shape[2], TOKENS)
        recorded = scene.lent("mask")
        mask = None if recorded is None or recorded.ndim != 4 else seen_through(recorded[0, 0])[:tokens, :keys]
        mask = mask if mask is not None and mask.shape == (tokens, keys) else None
        window = None if mask is None else window_of(mask)
        sinks = scene.lent("sinks")
        heads = q.shape[1]
        return KernelInputs(
            q[0, :, :tokens],
            k[0, :, :keys],
            v[0, :, :keys],
            mask if window == 0 else None,
            window or None,
            sinks.reshape(-1) if sinks is not None and sinks.size == heads else None,
            tuple(sorted({heads * place // _HEADS for place in range(_HEADS)})),
            # A query that sees nothing, or whose mask is not known, tells nothing.
            tuple(range(1, tokens - (window == 0))),
            turned_otherwise(scene, q, k),
        )

    def of_rows(self, picked: Sequence[int], rows: Sequence[int]) -> KernelInputs:
        """Of these heads and queries alone."""
        return replace(self, picked=tuple(picked), rows=tuple(rows))

    def heads(self, way: Way) -> Numbers:
        """The picked heads and queries [h,t,Kv] computed in a way."""
        q, k = self._turned(way.turned)
        count, groups = len(q), len(k)
        shared = [head % groups if way.tiled else head * groups // count for head in self.picked]
        seen = max(self.rows, default=-1) + 1 if self._causal(way) else k.shape[1]
        k, v = k[shared, :seen], self.v[shared, :seen]
        scores = q[np.ix_(self.picked, self.rows)] @ k.swapaxes(1, 2) * way.scale  # [h,t,S]
        if way.softcap:
            scores = way.softcap * np.tanh(scores / way.softcap)
        if way.alibi:
            slopes = 2.0 ** (-8 * (np.array(self.picked) + 1) / count)  # [h]
            scores = scores - slopes[:, None, None] * np.maximum(self._back()[:, :seen], 0)
        scores = np.where(self.visible(way)[:, :seen], scores, -np.inf)
        top = scores.max(axis=-1, keepdims=True)
        top = np.where(np.isfinite(top), top, 0)
        weights = np.exp(scores - top)  # [h,t,S]
        total = weights.sum(axis=-1, keepdims=True)
        if way.sinks and self.sinks is not None:
            total = total + np.exp(self.sinks[list(self.picked), None, None] - top)
        return np.asarray((weights / np.where(total > 0, total, 1)) @ v)  # [h,t,Kv]

    def _turned(self, name: str) -> tuple[Numbers, Numbers]:
        if not name:
            return self.q, self.k
        other = self.others[name]
        return other.q[0, :, : self.q.shape[1]], other.k[0, :, : self.k.shape[1]]

    def _causal(self, way: Way) -> bool:
        """Whether no query sees a key behind its own place."""
        return way.shift is not None and way.shift <= 0 and self.mask is None and self.q.shape[1] == self.k.shape[1]

    def _back(self) -> npt.NDArray[np.int_]:
        """How far each key lies behind each query [t,S]."""
        tokens, keys = self.q.shape[1], self.k.shape[1]
        places = np.array(self.rows, dtype=np.int64) + (keys - tokens)  # [t]
        back: npt.NDArray[np.int_] = places[:, None] - np.arange(keys)
        return back

    def visible(self, way: Way) -> Flags:
        """Which keys [t,S] each query sees."""
        back = self._back()
        near: Flags = back < way.window if way.window else np.ones(back.shape, dtype=np.bool_)
        if way.shift is None:
            return near
        if self.mask is None:
            return near & (back >= -way.shift)
        rows = np.array(self.rows, dtype=np.int64) + way.shift
        seen: Flags = self.mask[np.clip(rows, 0, len(self.mask) - 1)] & near
        return seen


def call_of(scene: Scene, side: str) -> AttentionCall | None:
    """How a side's kernel of this layer was called, if it was recorded."""
    trace = scene.comparison.a if side == "A" else scene.comparison.b
    layer, record = scene.record.layer, scene.record
    calls = (
        call
        for key, call in trace.attention.items()
        if layer is not None and f".layers.{layer}." in f".{key}" and key.partition("@")[2] == _end(record.pass_)
    )
    return next(calls, None)


def _end(pass_: int) -> str:
    return str(pass_) if pass_ else ""


def start_of(scene: Scene, inputs: KernelInputs, side: str) -> Way:
    """How a side was called as far as it says, else the other one, else what is usual."""
    call = call_of(scene, side) or call_of(scene, "B" if side == "A" else "A")
    size = inputs.q.shape[-1]
    scale = size**-0.5 if call is None else call.scale
    softcap = None if call is None else call.softcap
    window = inputs.window or (call.sliding_window if call is not None else None)
    if window is not None and window >= inputs.k.shape[1]:
        window = None
    return Way(scale, softcap, window, sinks=inputs.sinks is not None)
