"""A norm before a projection that one side leaves out: nobody recorded it there, and the matrix isn't known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.activation import misfits
from tracetui.analysis.diff.hints.norms.offsets import is_norm, unit_rows
from tracetui.analysis.diff.hints.scene import Hint, Scene, explains
from tracetui.recording.record import plain_site

_MOST, _FEWEST = 16, 4
_NEAR = 0.2
"""How far, for each token, the difference may be from what the norm's absence makes: chance leaves up to 0.14."""
_CLEARER = 3.0
_WEIGHT = "its weight"
_NORM = ""


def norm_left_out(scene: Scene) -> Hint | None:
    """What a projection makes of a norm's output on one side, and of the norm's input on the other."""
    norms = [name for name in scene.fed.between if plain_site(name) == name.partition("@")[0] and name.endswith("norm")]
    if len(norms) != 1 or not scene.fed.agree or is_norm(scene):
        return None
    place = plain_site(norms[0]).removeprefix(f"model.layers.{scene.record.layer}")
    recorded, normed = scene.alone(place), scene.borrowed(place)
    if not recorded or normed is None or normed.ndim < 2:
        return None
    y, inner = scene.target.rows(), normed.reshape(-1, normed.shape[-1])
    count = min(len(y.a), _MOST, y.a.shape[1] // 4, inner.shape[1] // 2)
    raw = next(_inputs(scene, place, inner), None)
    if raw is None or count < _FEWEST or len(inner) != len(y.a):
        return None
    own, made = (y.a, y.b) if recorded == "B" else (y.b, y.a)
    fits = _fits(inner[:count], raw[:count], made[:count], own[:count])
    best, other = sorted((_NORM, _WEIGHT), key=lambda name: fits[name])
    if fits[best] > _NEAR or fits[other] < _CLEARER * fits[best]:
        return None
    side, leaf = "A" if recorded == "B" else "B", place.rpartition(".")[2]
    part = f"{leaf}'s weight" if best == _WEIGHT else leaf
    return Hint(
        "norm-scale" if best == _WEIGHT else "norm-missing",
        f"{part} is left out in {side}",
        f"beside what {scene.leaf} makes of {recorded}'s, the difference over {count} tokens is as that would have it, "
        f"to {fits[best]:.2g} a token (chance: 0.14).",
    )


def _fits(inner: Numbers, raw: Numbers, made: Numbers, own: Numbers) -> dict[str, float]:
    """How far the other side's output is from what the matrix makes without the norm, and without its weight."""
    sizes = np.sqrt(np.square(raw).mean(axis=1, keepdims=True))  # [N,1]
    if explains(own, sizes * made, made):
        # The norm's weight is one number: what it was made of is known up to each token's size.
        return {_NORM: 0.0, _WEIGHT: np.inf}
    return misfits(inner, {_NORM: raw, _WEIGHT: unit_rows(raw)}, made, own)


def _inputs(scene: Scene, place: str, normed: Numbers) -> Iterator[Numbers]:
    """What the norm's output [N,D] was made of: as recorded, or the beginning of what feeds the site."""
    entered = scene.borrowed(f"{place}:input")
    fed = [both.a for found in scene.fed.found if (both := scene.both(found)) is not None]
    for values in (*([] if entered is None else [entered]), *fed):
        rows = values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values[None]
        if len(rows) == len(normed) and rows.shape[1] >= normed.shape[1]:
            rows = rows[:, : normed.shape[1]]
            unit = unit_rows(rows)
            gains = (normed * unit).sum(axis=0) / np.maximum(np.square(unit).sum(axis=0), 1e-300)  # [D]
            if float(np.linalg.norm(gains * unit - normed)) <= scene.limit * float(np.linalg.norm(normed)):
                yield rows
