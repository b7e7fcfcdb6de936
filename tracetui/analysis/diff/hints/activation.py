"""What a feed-forward block does between its projections: another activation, on another of them, or another cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.scene import Hint, Scene

_FEWEST = 4
"""The fewest tokens from which anything can be told of an unknown matrix."""
_MOST = 16
_NEAR = 0.35
"""How far, for each token, what is measured may be from what a function makes: chance alone leaves up to 0.14."""
_CLEARER = 3.0
"""How many times nearer the one that is named must be than any other."""
_ENTERING = ("down_proj:input", "act_fn", "activation_fn")
"""What enters the last matrix: the last two where nothing is multiplied with it."""
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Numbers) -> Numbers:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


FUNCTIONS: Mapping[str, Callable[[Numbers], Numbers]] = {
    "silu": lambda x: x * _sigmoid(x),
    "gelu (exact)": lambda x: np.asarray(0.5 * x * (1 + _ERF(x / math.sqrt(2)))),
    "gelu (tanh)": lambda x: np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "quick gelu": lambda x: x * _sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "relu²": lambda x: np.maximum(x, 0) ** 2,
    "sigmoid": _sigmoid,
    "tanh": lambda x: np.asarray(np.tanh(x)),
    "no activation": lambda x: x,
}


def activation(scene: Scene) -> Hint | None:
    """Two functions of the same values; or, where only what down_proj made was recorded, the one that fits it."""
    if scene.leaf in ("act_fn", "activation_fn", "act"):
        return _recorded(scene)
    if scene.place == ".mlp.down_proj:input":
        return _entering(scene)
    return _behind_matrix(scene) if scene.place in (".mlp.down_proj", ".mlp") else None


def _entering(scene: Scene) -> Hint | None:
    """What enters the last matrix was recorded: the function that makes each side's of what comes before."""
    y, limit = scene.target.rows(), max(2e-5, 2 * scene.unit)
    sides = [side[:_MOST] for side in (y.a, y.b)]
    made = {name: values for name, values in _candidates(scene) if values.shape == sides[0].shape}
    names = [_first(made, side, limit) for side in sides]
    if not all(names) or names[0] == names[1]:
        return None
    evidence = f"of what was recorded before it, each makes that side's {len(sides[0])} first rows to {limit:.0e}."
    return Hint("activation", f"What enters down_proj is {names[0]} in A, {names[1]} in B", evidence)


def _recorded(scene: Scene) -> Hint | None:
    x, y = scene.fed_by_as_many(), scene.target.rows()
    if x is None or x.a.shape != scene.target.a.shape:
        return None
    rows = x.rows().a[:_MOST]
    made = {name: function(rows) for name, function in FUNCTIONS.items()}
    limit = max(2e-5, 2 * scene.unit)
    sides = [_first(made, side[:_MOST], limit) for side in (y.a, y.b)]
    if not all(sides) or sides[0] == sides[1]:
        return None
    evidence = f"of what was recorded before it, each makes that side's {len(rows)} first rows to {limit:.0e}."
    return Hint("activation", f"The activation differs: {sides[0]} in A, {sides[1]} in B", evidence)


def _first(made: Mapping[str, Numbers], side: Numbers, limit: float) -> str:
    size = float(np.linalg.norm(side))
    return next((name for name, value in made.items() if float(np.linalg.norm(value - side)) <= limit * size), "")


def _behind_matrix(scene: Scene) -> Hint | None:
    """The activation in front of an unknown matrix, taken to prefer no direction; B's own output must confirm that."""
    place = next((place for place in _ENTERING if scene.alone(f".mlp.{place}")), "")
    inner, y = _rows(scene, place) if place else None, scene.target.rows()
    count = min(len(y.a), _MOST, y.a.shape[1] // 4)
    if inner is None or count < _FEWEST:
        return None
    candidates = {name: value for name, value in _candidates(scene) if value.shape == inner.shape}
    known = _first(candidates, inner, max(2e-5, 2 * scene.unit))
    recorded = scene.alone(f".mlp.{place}")
    if not known or not recorded:
        return None
    own, other = (y.a[:count], y.b[:count]) if recorded == "B" else (y.b[:count], y.a[:count])
    fits = misfits(inner[:count], {name: candidates[name][:count] for name in candidates if name != known}, other, own)
    best = min(fits, key=lambda name: fits[name])
    # The same function of the other half: which function it is need not be told from its neighbours.
    kind = _half if best == _swapped(known) else _kind
    rest = sorted((name for name in fits if kind(name) != kind(best)), key=lambda name: fits[name])
    if fits[best] > _NEAR or (rest and fits[rest[0]] < _CLEARER * fits[best]):
        return None
    alike = [name for name in fits if kind(name) == kind(best) and fits[name] < _CLEARER * fits[best]]
    side = "A" if recorded == "B" else "B"
    following = f"; the next, {rest[0]}, to {fits[rest[0]]:.2g}" if rest else ""
    return Hint(
        "activation",
        f"What enters down_proj looks like {' or '.join(alike)} in {side}, where it is {known} in {recorded}",
        f"beside what down_proj makes of {recorded}'s, the difference over {count} tokens is as that would have it, to "
        f"{fits[best]:.2g} a token (chance: 0.14){following}.",
    )


def misfits(inner: Numbers, changed: Mapping[str, Numbers], made: Numbers, own: Numbers) -> dict[str, float]:
    """Of each candidate [N,F] for what entered, how far `own` [N,D] is from what a matrix makes of it.

    `inner` [N,F] is what the matrix, which isn't known, made `made` [N,D] of; perhaps with a bias, that is left out
    then with the tokens' mean.
    """
    if not math.isfinite(_usual(inner, made)[0]) or _usual(inner, made)[0] > _NEAR:
        apart = _contrasts(len(inner))
        inner, made, own = (apart @ each for each in (inner, made, own))
        changed = {name: apart @ each for name, each in changed.items()}
    return {name: _misfit(inner, each, made, own) for name, each in changed.items()}


def _contrasts(count: int) -> Numbers:
    """Differences of tokens [N-1,N], as long as one and at right angles to each other."""
    rows = np.tril(np.ones((count, count)), -1)[1:] - np.diag(np.arange(count, dtype=np.float64))[1:]
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _usual(inner: Numbers, made: Numbers) -> tuple[float, float]:
    return _divergence(inner @ inner.T, made, 1.0)


def _kind(name: str) -> str:
    """All forms of gelu are one: they are too near each other."""
    return name.replace("gelu (exact)", "gelu").replace("gelu (tanh)", "gelu").replace("quick gelu", "gelu")


def _swapped(name: str) -> str:
    """The same function of up in place of gate, and the other way round."""
    function, _, half = name.partition(" of ")
    one, other = ("gate", "up") if half.startswith("gate") else ("up", "gate")
    return f"{function} of {half.replace(one, other, 1)}"


def _half(name: str) -> str:
    return name.partition(" of ")[2]


def _candidates(scene: Scene) -> Iterator[tuple[str, Numbers]]:
    """What may enter down_proj [N,F], by name."""
    up = _rows(scene, "up_proj")
    if up is not None and not any(scene.known(f".mlp.{name}") for name in ("gate_proj", "gate_up_proj")):
        yield from ((f"{name} of up_proj", function(up)) for name, function in FUNCTIONS.items())
    for cut, gate, up in _halves(scene):
        for name, function in FUNCTIONS.items():
            yield f"{name} of gate{cut}", function(gate) * up
            if name != "no activation":
                yield f"{name} of up{cut}", function(up) * gate


def _halves(scene: Scene) -> Iterator[tuple[str, Numbers, Numbers]]:
    """Gate and up [N,F], as they are or as a fused projection may be cut."""
    gate, up, fused = (_rows(scene, name) for name in ("gate_proj", "up_proj", "gate_up_proj"))
    if gate is not None and up is not None:
        if gate.shape == up.shape:
            yield "", gate, up
    elif fused is not None and fused.shape[-1] % 2 == 0:
        half = fused.shape[-1] // 2
        yield "", fused[:, :half], fused[:, half:]
        yield " (neighbours of gate_up_proj, not its halves)", fused[:, ::2], fused[:, 1::2]


def _rows(scene: Scene, name: str) -> Numbers | None:
    recorded = scene.borrowed(f".mlp.{name}")
    return None if recorded is None else recorded.reshape(-1, recorded.shape[-1])[:_MOST]


def _misfit(inner: Numbers, changed: Numbers, made: Numbers, own: Numbers) -> float:
    """How far outputs [N,D] are from what a matrix without preferred directions makes of `changed` [N,F].

    `inner` is what it made `made` of. The divergence, for each token, of the covariance that the part of the change
    has which `inner` doesn't determine from the one that it should have.
    """
    gram = inner @ inner.T  # [N,N]
    weights = np.linalg.solve(gram, inner @ (changed - inner).T).T  # [N,N]
    rest = changed - inner - weights @ inner  # [N,F]
    left = own - made - weights @ made  # [N,D]
    usual = _usual(inner, made)
    if not math.isfinite(usual[0]) or usual[0] > _NEAR:
        return math.inf
    return _divergence(rest @ rest.T, left, usual[1])[0]


def _divergence(gram: Numbers, outputs: Numbers, scale: float) -> tuple[float, float]:
    """How far outputs [N,D] over the Gram matrix are from unit covariance, for each row; and their mean square.

    With a `scale` of 1 the outputs' own mean square is the unit.
    """
    try:
        white = np.linalg.solve(np.linalg.cholesky(gram), outputs)  # [N,D]
    except np.linalg.LinAlgError:
        return math.inf, 0.0
    size = float(np.square(white).mean())
    covariance = white @ white.T / outputs.shape[1] / (size if scale == 1.0 else scale)  # [N,N]
    sign, logarithm = np.linalg.slogdet(covariance)
    if sign <= 0:
        return math.inf, size
    return float(np.trace(covariance) - logarithm - len(covariance)) / len(covariance), size
