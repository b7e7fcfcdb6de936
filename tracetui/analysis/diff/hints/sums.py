"""The residual stream as a sum of what a layer made: how much of each went into it on either side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.numbers import explained, shown
from tracetui.analysis.diff.hints.scene import EXPLAINED, Hint, Scene
from tracetui.analysis.diff.result import Outcome, SiteDiff
from tracetui.analysis.mapping.families import common_name

_ROWS = 128
"""Tokens that are looked at, from the start."""
_STREAM_BEFORE = "the stream before"
_SUMS = ("", ":attn_residual")
_STREAM = (":attn_residual", ":input")
"""What a norm may be of, the nearest first."""
_ALIKE = 1e-3
"""How far apart two coefficients are that are the same."""
_WORDS = {"": "what the layer adds up", ":attn_residual": "the stream after attention"}


@dataclass(frozen=True, eq=False, slots=True)
class _Terms:
    """Tensors [N,D] that agree and may have been added up."""

    names: tuple[str, ...]
    values: Numbers
    """[n,N,D]"""


def residual_sum(scene: Scene) -> Hint | None:
    """Other coefficients in a sum: in the residual stream itself, or in the sum that a norm was applied to."""
    terms = _terms(scene)
    if terms is None:
        return None
    limit = scene.limit
    if scene.place in _SUMS:
        rows = scene.target.rows()
        # What is left over must be little beside the difference too: else something else makes it.
        apart = float(np.linalg.norm(rows.a[:_ROWS] - rows.b[:_ROWS]))
        sides = [_coefficients(terms, side[:_ROWS], limit, apart) for side in (rows.a, rows.b)]
        return _hint(scene, terms, sides, _WORDS[scene.place])
    if "norm" not in scene.leaf:
        return None
    return _of_norm(scene, terms, limit)


def _terms(scene: Scene) -> _Terms | None:
    """What agrees in this layer, or one side alone has, and has the stream's shape, each once; and what came in."""
    layer, shape = scene.record.layer, scene.target.a.shape
    if layer is None or len(shape) < 2:
        return None
    names: list[str] = []
    values: list[Numbers] = []
    for name, value in chain(_agreeing(scene, layer), _alone(scene, layer)):
        if value.size != scene.target.a.size or value.shape[-1:] != shape[-1:]:
            continue
        rows = value.reshape(-1, shape[-1])[:_ROWS]
        place = next((at for at, known in enumerate(values) if _parallel(rows, known)), None)
        if place is None:
            names.append(name)
            values.append(rows)
        elif names[place].startswith(f"{name}."):
            names[place] = name
    return _Terms(tuple(names), np.stack(values)) if 1 < len(values) < len(values[0]) else None


def _agreeing(scene: Scene, layer: int) -> Iterator[tuple[str, Numbers]]:
    for site in _before(scene, layer):
        both = scene.both(site) if site.outcome is Outcome.SAME else None
        if both is not None:
            yield _short(common_name(site.site), layer), both.a


def _alone(scene: Scene, layer: int) -> Iterator[tuple[str, Numbers]]:
    """Norms in the layer, before the site, that only one side recorded: other terms that a sum may have."""
    alignment, pair = scene.comparison.alignment, scene.site.pair
    for lone, own in ((alignment.only_a, pair.a), (alignment.only_b, pair.b)):
        for named in lone if scene.fed.agree else ():
            name = common_name(named.site)
            inside = name.startswith(f"model.layers.{layer}.") and named.record.pass_ == own.record.pass_
            if inside and name.endswith("norm") and named.record.index < own.record.index:
                value = scene.borrowed(name)
                if value is not None:
                    yield _short(name, layer), value


def _before(scene: Scene, layer: int) -> list[SiteDiff]:
    """The layer's input and what it computed before the site."""
    sites = scene.comparison.sites
    own = f"model.layers.{layer}"
    stream = (f"model.layers.{layer - 1}" if layer else "model.embed_tokens", f"{own}:input")
    place = next(at for at, site in enumerate(sites) if site.site == scene.site.site)
    names = [common_name(site.site) for site in sites]
    early = [site for site, name in zip(sites, names, strict=True) if name in stream]
    inside = (f"{own}.", f"{own}:attn")
    return early + [site for site, name in zip(sites[:place], names, strict=False) if name.startswith(inside)]


def _parallel(one: Numbers, other: Numbers) -> bool:
    """Whether one is a multiple of the other: then a sum can't tell them apart."""
    sizes = np.linalg.norm(one) * np.linalg.norm(other)
    return bool(sizes == 0 or abs(float((one * other).sum())) > (1 - 1e-6) * sizes)


def _short(site: str, layer: int) -> str:
    return (
        _STREAM_BEFORE
        if site.endswith((":input", "embed_tokens", f"layers.{layer - 1}"))
        else site.split(f"model.layers.{layer}.")[-1].removeprefix(":")
    )


def _coefficients(terms: _Terms, total: Numbers, limit: float, apart: float = np.inf) -> Numbers | None:
    """How much of each term [n] makes the total [N,D]; None where they don't make it, to a part of `apart` too."""
    matrix = terms.values.reshape(len(terms.values), -1).T  # [N·D,n]
    coefficients, *_ = np.linalg.lstsq(matrix, total.reshape(-1), rcond=None)
    left = float(np.linalg.norm(matrix @ coefficients - total.reshape(-1)))
    enough = min(limit * float(np.linalg.norm(total)), EXPLAINED * apart)
    return np.asarray(coefficients) if left <= enough else None


def _of_norm(scene: Scene, terms: _Terms, limit: float) -> Hint | None:
    """The same, where only what the norm made of the sum was recorded on both sides."""
    if all(scene.near(name) is not None for name in _STREAM[:1]):
        return None
    total = next((lent for name in _STREAM if (lent := scene.borrowed(name)) is not None), None)
    rows = scene.target.rows()
    if total is None or total.size != rows.a.size:
        return None
    total, a, b = total.reshape(rows.b.shape)[:_ROWS], rows.a[:_ROWS], rows.b[:_ROWS]
    for centred in (False, True):
        known = _norm_of(total, b, limit, centred)
        if known is None:
            continue
        values = terms.values - terms.values.mean(axis=-1, keepdims=True) if centred else terms.values
        own_terms = _Terms(terms.names, values)
        other = _coefficients(own_terms, known.total, limit)
        own = None if other is None else _directions(own_terms, (a - known.bias) / known.gains, other, limit)
        if hint := _hint(scene, terms, [own, other], "the stream of which it is the norm"):
            return hint
    return None


@dataclass(frozen=True, eq=False, slots=True)
class _Norm:
    """What a norm does with a sum."""

    total: Numbers
    """[N,D], its rows' mean taken off where the norm does so."""
    gains: Numbers
    """[D]"""
    bias: Numbers
    """[D]"""


def _norm_of(total: Numbers, made: Numbers, limit: float, centred: bool) -> _Norm | None:
    """The norm that makes an output of a sum, both [N,D], with a bias if it takes off the mean; None for none."""
    total = total - total.mean(axis=1, keepdims=True) if centred else total
    unit = total / np.sqrt(np.square(total).mean(axis=1, keepdims=True))
    flat, level = (unit - unit.mean(axis=0), made - made.mean(axis=0)) if centred else (unit, made)
    gains = (level * flat).sum(axis=0) / np.square(flat).sum(axis=0)  # [D]
    bias = made.mean(axis=0) - gains * unit.mean(axis=0) if centred else np.zeros(len(gains))  # [D]
    left = float(np.linalg.norm(gains * unit + bias - made))
    return _Norm(total, gains, bias) if left <= limit * float(np.linalg.norm(made)) and gains.all() else None


def _directions(terms: _Terms, unit: Numbers, other: Numbers, limit: float) -> Numbers | None:
    """The coefficients [n] of a sum, from rows [N,D] whose directions are known but not their lengths.

    One coefficient is taken to equal the other side's: the one that makes the others plainest.
    """
    own = []
    for place, row in enumerate(unit):
        matrix = terms.values[:, place].T  # [D,n]
        amounts, *_ = np.linalg.lstsq(matrix, row, rcond=None)
        if float(np.linalg.norm(matrix @ amounts - row)) > limit * float(np.linalg.norm(row)):
            return None
        own.append(amounts)
    coefficients = np.array(own)  # [N,n]
    used = np.abs(coefficients).min(axis=0) > _ALIKE * np.abs(coefficients).max()
    kept = [place for place in range(len(other)) if used[place] and abs(other[place]) > _ALIKE]
    ratios = [coefficients / coefficients[:, place, None] * other[place] for place in kept]
    steady = [np.median(ratio, axis=0) for ratio in ratios if float(ratio.std(axis=0).max()) < 10 * limit]
    return min(steady, key=lambda ratio: _odd(ratio, other), default=None)


def _odd(own: Numbers, other: Numbers) -> int:
    """How many coefficients are neither the other side's nor a plain 0 or 1."""
    apart = np.minimum(np.abs(own - other), np.minimum(np.abs(own), np.abs(own - 1)))
    return int((apart > _ALIKE * np.maximum(1, np.abs(own))).sum())


def _hint(scene: Scene, terms: _Terms, sides: list[Numbers | None], what: str) -> Hint | None:
    a, b = sides
    if a is None or b is None:
        return None
    noise = _noise(terms, b, scene.unit)
    changed = [place for place in range(len(a)) if abs(a[place] - b[place]) > noise[place] * max(1, abs(b[place]))]
    if not changed:
        return None
    parts = [f"{_times(a[place])}·{terms.names[place]} in A, {_told(b[place], scene)} in B" for place in changed]
    used = ", ".join(name for place, name in enumerate(terms.names) if max(abs(a[place]), abs(b[place])) > _ALIKE)
    name, reason = _around_norm(terms, a, b, changed)
    return Hint(
        name,
        f"The sum differs: {'; '.join(parts)}{reason}",
        f"{what} is a sum of {used} on both sides, to 1e-3 of its norm.",
    )


def _noise(terms: _Terms, coefficients: Numbers, unit: float) -> Numbers:
    """How far apart rounding may take the coefficients [n] of a sum: further, the less a term counts in it."""
    total = float(np.linalg.norm(np.tensordot(coefficients, terms.values, axes=1)))
    sizes = np.sqrt(np.square(terms.values).sum(axis=(1, 2)))  # [n]
    return np.asarray(np.maximum(_ALIKE, 4 * unit * total / np.maximum(sizes, 1e-30)))


def _around_norm(terms: _Terms, a: Numbers, b: Numbers, changed: list[int]) -> tuple[str, str]:
    """A hint's name, and in words what becomes of a norm's output that one side alone adds."""
    norms = (at for at in changed if terms.names[at].endswith("norm") and min(abs(a[at]), abs(b[at])) < _ALIKE)
    norm = next(norms, None)
    if norm is None:
        return "residual-factor", ""
    adding, lacking = ("B", "A") if abs(a[norm]) < _ALIKE else ("A", "B")
    if any(terms.names[at] == _STREAM_BEFORE or terms.names[at].endswith("attn_residual") for at in changed):
        return "residual-source", f": {adding} takes up what {terms.names[norm]} made, not the stream before it"
    left_out = f": {terms.names[norm]} is left out in {lacking}"
    return ("norm-missing", left_out) if len(changed) == 2 else ("residual-factor", "")


def _told(number: float, scene: Scene) -> str:
    return f"{_times(number)}{explained(abs(number), scene.config)}"


def _times(number: float) -> str:
    return "0" if abs(number) < _ALIKE else shown(number)
