"""Faults inside an attention kernel, found by computing the heads again with one thing changed, or two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.attention.heads import KernelInputs, Way, call_of, start_of
from tracetui.analysis.diff.hints.attention.inputs import kernel_of
from tracetui.analysis.diff.hints.attention.masks import window_title
from tracetui.analysis.diff.hints.numbers import explained
from tracetui.analysis.diff.hints.scene import EXPLAINED, Hint, Scene, real, whole
from tracetui.recording.record import AttentionCall

Shape = tuple[int, ...]
_MASKS = {0: "as far as itself", 1: "one position ahead", -1: "not itself", None: "everything"}
_ROUNDS = 2
"""Things that may be changed at once."""
_HEADS, _ROWS = 4, 48
"""How many heads and queries a way is looked for in, before it is held to all."""
_MEASURED = 96
"""Tokens over which a number is measured: it is tried some seventy times."""
_CAPS = (50.0, 30.0, 20.0)
_RANGE = (1e-3, 1e3)
"""Within which a scale or a cap is looked for."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A way, and how much of the difference it leaves over."""

    way: Way
    left: float


def attention_call(scene: Scene) -> Hint | None:
    """If q, k and v agree: the scale, cap, window, mask, sinks or groups that explain each side's output."""
    kernel = kernel_of(scene, (":heads",))
    if kernel is None:
        return None
    inputs, sides = kernel
    fits = {}
    for side, other in ("AB", "BA"):
        fit = _Search(scene, inputs, sides[side], sides[other]).from_(start_of(scene, inputs, side))
        if fit is None:
            return None
        fits[side] = fit
    return _hint(scene, fits["A"], fits["B"], inputs)


class _Heads:
    """One side's heads [H,T,Kv], of which some rows are to be made again."""

    def __init__(self, inputs: KernelInputs, own: Numbers, other: Numbers) -> None:
        self.inputs = inputs
        self._heads = own, other
        index = np.ix_(inputs.picked, inputs.rows)
        self.own = own[index]  # [h,t,Kv]
        self.off = np.linalg.norm(self.own - other[index], axis=-1)  # [h,t]
        self.apart = float(np.linalg.norm(self.off))

    def left(self, way: Way) -> float:
        """How much a way leaves over of what the two sides are apart."""
        return float(np.linalg.norm(self.own - self.inputs.heads(way))) / self.apart

    def some(self, heads: int, rows: int, tokens: int | None = None) -> _Heads:
        """A sample of the first tokens: half of it where the sides are furthest apart, half of it spread over all."""
        inputs = self.inputs
        known = [row for row in inputs.rows if tokens is None or row < tokens]
        off = self.off[:, : len(known)]
        picked = _sample(off.max(axis=1), heads)
        return _Heads(
            inputs.of_rows([inputs.picked[at] for at in picked], [known[at] for at in _sample(off.max(axis=0), rows)]),
            *self._heads,
        )


def _sample(off: Numbers, count: int) -> list[int]:
    """At most so many places."""
    furthest = np.argsort(-off, kind="stable")[: count // 2]
    spread = np.linspace(0, len(off) - 1, count - count // 2).round().astype(int)
    return sorted({*furthest.tolist(), *spread.tolist()}) if len(off) > count else list(range(len(off)))


class _Search:
    """Looks for the way that makes one side's heads, changing one thing after another."""

    def __init__(self, scene: Scene, inputs: KernelInputs, own: Numbers, other: Numbers) -> None:
        self._scene = scene
        self._inputs = inputs
        self._all = _Heads(inputs, own, other)
        self._some = self._all.some(_HEADS, _ROWS)
        self._first = self._all.some(_HEADS, _ROWS, _MEASURED)

    def from_(self, way: Way) -> Fit | None:
        """The nearest way, if it leaves next to nothing of what the two sides are apart."""
        if not self._all.apart:
            return None
        fit = Fit(way, self._some.left(way))
        for _ in range(_ROUNDS):
            if fit.left <= EXPLAINED:
                break
            fits = [Fit(other, self._some.left(other)) for other in self._changed(fit.way)]
            nearest = min([fit, *fits], key=lambda fit: fit.left)
            if nearest is fit:
                return None
            fit = nearest
        left = self._all.left(fit.way) if fit.left <= EXPLAINED else fit.left
        return Fit(fit.way, left) if left <= EXPLAINED else None

    def _changed(self, way: Way) -> Iterator[Way]:
        """Ways that differ in one thing."""
        inputs, config = self._inputs, self._scene.config
        for scale in _scales(self._scene, inputs):
            yield replace(way, scale=scale)
        known = real(config, "attn_logit_softcapping", "attn_logit_softcap")
        for cap in (None, *([known] if known else []), *_CAPS):
            yield replace(way, softcap=cap)
        for window in {None, self._window(way), whole(config, "sliding_window") or None}:
            yield replace(way, window=window)
        for shift in (0, 1, -1, None):
            yield replace(way, shift=shift)
        yield replace(way, shift=None, window=None)
        if 1 < len(inputs.k) < len(inputs.q):
            yield replace(way, tiled=not way.tiled)
        if inputs.sinks is not None:
            yield replace(way, sinks=not way.sinks)
        yield replace(way, alibi=not way.alibi)
        for name in inputs.others:
            yield replace(way, turned=name)
        yield self._measured(way, lambda value: replace(way, scale=value))
        yield self._measured(way, lambda value: replace(way, softcap=value))

    def _window(self, way: Way) -> int | None:
        """The rows that are right without any window: as many keys as it shows."""
        one = self._all.inputs.picked[int(self._all.off.max(axis=1).argmax())]
        head = self._inputs.of_rows([one], self._inputs.rows)
        own = self._all.own[self._inputs.picked.index(one)]  # [t,Kv]
        made = head.heads(replace(way, window=None))[0]
        off = np.linalg.norm(made - own, axis=-1) > EXPLAINED * np.linalg.norm(own, axis=-1)  # [t]
        place = int(off.argmax())
        return self._inputs.rows[place] if off[place] else None

    def _measured(self, way: Way, changed: Callable[[float], Way]) -> Way:
        """The number, of a wide range, with which the least is left over."""
        grid = np.geomspace(*_RANGE, 25)

        def left(value: float) -> float:
            return self._first.left(changed(value))

        best = int(np.argmin([left(float(value)) for value in grid]))
        low, high = np.log(grid[max(best - 1, 0)]), np.log(grid[min(best + 1, len(grid) - 1)])
        for _ in range(24):
            one, other = low + (high - low) * 0.382, low + (high - low) * 0.618
            nearer = left(float(np.exp(one))) < left(float(np.exp(other)))
            low, high = (low, other) if nearer else (one, high)
        return changed(float(f"{np.exp((low + high) / 2):.4g}"))


def _scales(scene: Scene, inputs: KernelInputs) -> list[float]:
    size = inputs.q.shape[-1]
    calls = [call.scale for side in "AB" if (call := call_of(scene, side)) is not None]
    roots = [
        value**-0.5 for name in ("query_pre_attn_scalar", "hidden_size") if (value := real(scene.config, name) or 0) > 0
    ]
    return list(dict.fromkeys((*calls, size**-0.5, 1.0, 1 / size, *roots)))


def _hint(scene: Scene, a: Fit, b: Fit, inputs: KernelInputs) -> Hint | None:
    """Everything in which the two ways differ."""
    changed = [(name, told) for name, field, told in _TOLD if getattr(a.way, field) != getattr(b.way, field)]
    if not changed:
        return None
    titles = [told(scene, a.way, b.way, inputs) for _, told in changed]
    evidence = (
        f"computed again from q, k and v, {len(inputs.picked)} heads are A's to {a.left:.1e} and B's to {b.left:.1e} "
        f"of their difference; what isn't named is the same on both sides{_layers(scene, changed[0][0])}."
    )
    name = changed[0][0]
    if name == "rope":
        name = inputs.others[a.way.turned or b.way.turned].fault
    return Hint(name, "; ".join(titles), evidence)


def _layers(scene: Scene, name: str) -> str:
    """In which layers a recorded side has a window, or what is compared of both sides' calls differs."""
    types = scene.config.get("layer_types")
    if name == "window" and isinstance(types, list) and "sliding_attention" in types:
        sliding = [str(layer) for layer, kind in enumerate(types) if kind == "sliding_attention"]
        return f"; by the configuration layers {', '.join(sliding[:12])}{', …' if len(sliding) > 12 else ''} have one"
    a, b = scene.comparison.a.attention, scene.comparison.b.attention
    apart = [key for key in a if key in b and _arguments(a[key]) != _arguments(b[key])]
    shared = sum(key in b for key in a)
    return f"; what was recorded with each call differs in {len(apart)} of {shared} calls" if apart else ""


def _arguments(call: AttentionCall) -> tuple[object, ...]:
    return call.scale, call.softcap, call.sliding_window


def _groups(scene: Scene, a: Way, b: Way, inputs: KernelInputs) -> str:
    heads, groups = len(inputs.q), len(inputs.k)
    shared = {False: f"h·{groups}//{heads}", True: f"h mod {groups}"}
    sides = f"head h takes key-value head {shared[a.tiled]} in A, {shared[b.tiled]} in B"
    return f"Key-value heads are shared differently: {sides}"


def _scale(scene: Scene, a: Way, b: Way, inputs: KernelInputs) -> str:
    missing = " (1 is no scale at all)" if 1.0 in (a.scale, b.scale) else ""
    usual = inputs.q.shape[-1] ** -0.5
    reasons = ["" if way.scale == usual else explained(way.scale, scene.config, "att") for way in (a, b)]
    sides = [f"{a.scale:.6g}{reasons[0]} in A", f"{b.scale:.6g}{reasons[1]} in B"]
    return f"The scores are scaled by {', '.join(sides)}{missing}"


def _softcap(scene: Scene, a: Way, b: Way, inputs: KernelInputs) -> str:
    sides = [f"{way.softcap:.4g}" if way.softcap else "not" for way in (a, b)]
    if "not" in sides:
        side, cap = ("B", b.softcap) if sides[0] == "not" else ("A", a.softcap)
        return f"The scores are capped at {cap:.4g}{explained(cap or 0, scene.config, 'att')} in {side} alone (softcap)"
    return f"The scores are capped at {sides[0]} in A, {sides[1]} in B (softcap)"


def _window(scene: Scene, a: Way, b: Way, inputs: KernelInputs) -> str:
    known = whole(scene.config, "sliding_window")
    return window_title(a.window, b.window) + (f" (sliding_window {known})" if known else "")


def _mask(scene: Scene, a: Way, b: Way, inputs: KernelInputs) -> str:
    return f"The mask differs: a query sees {_MASKS[a.shift]} in A, {_MASKS[b.shift]} in B"


def _sinks(scene: Scene, a: Way, b: Way, inputs: KernelInputs) -> str:
    return f"{'A' if b.sinks else 'B'} leaves the attention sinks out of the softmax"


def _alibi(scene: Scene, a: Way, b: Way, inputs: KernelInputs) -> str:
    return f"{'A' if a.alibi else 'B'} alone takes a bias off the scores that grows with the distance (ALiBi)"


def _turned(scene: Scene, a: Way, b: Way, inputs: KernelInputs) -> str:
    other = inputs.others[a.turned or b.turned]
    sides = (other.here, other.there) if a.turned else (other.there, other.here)
    return f"RoPE differs: A {sides[0]}, B {sides[1]}"


_TOLD: tuple[tuple[str, str, Callable[[Scene, Way, Way, KernelInputs], str]], ...] = (
    ("kv-heads", "tiled", _groups),
    ("mask", "shift", _mask),
    ("window", "window", _window),
    ("softcap", "softcap", _softcap),
    ("softmax-scale", "scale", _scale),
    ("sinks", "sinks", _sinks),
    ("position-bias", "alibi", _alibi),
    ("rope", "turned", _turned),
)
