"""A first norm whose weight is that of another layer: layers that moved, or one that was read for another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tracetui.analysis.diff.arrays import Numbers
from tracetui.analysis.diff.hints.norms.offsets import unit_rows
from tracetui.analysis.diff.hints.scene import Hint, Scene

_FEWEST = 3
_NORM = ".input_layernorm"
_MOST_LAYERS = 256
_CLEARLY = 4
"""How many times nearer a side's factors must be to another layer's than to those of the layer itself."""


def layer_weights(scene: Scene) -> Hint | None:
    """A side's first norm of a layer multiplies each channel as the other side's of another layer does."""
    layer = scene.record.layer
    if scene.place != _NORM or layer is None:
        return None
    for own, other in ("AB", "BA"):
        gains = _gains(scene, layer, own)
        if gains is None:
            return None
        # Norms of a model that was never trained are all ones, each layer's every other's and its own as well; another
        # epsilon makes their factors only larger or smaller.
        moved_by = _apart_but_for_size(gains, _gains(scene, layer, other))
        if moved_by <= scene.limit:
            continue
        for number in _other_layers(scene, layer):
            beside = _gains(scene, number, other)
            left = _apart(gains, beside)
            if left <= min(scene.limit, moved_by / _CLEARLY):
                title = (
                    f"{own}'s {_NORM[1:]} of layer {layer} has the weight of {other}'s layer {number}: layers moved, "
                    "or weights read for another's"
                )
                evidence = f"the factors of all {len(gains)} channels are that layer's, to {left:.1e}."
                return Hint("layer-weights", title, evidence)
    return None


def _other_layers(scene: Scene, layer: int) -> Iterator[int]:
    """The nearest first."""
    for distance in range(1, _MOST_LAYERS):
        numbers = [number for number in (layer + distance, layer - distance) if _known(scene, number)]
        if not numbers and distance > layer:
            return
        yield from numbers


def _known(scene: Scene, layer: int) -> bool:
    name = f"model.layers.{layer}{_NORM}"
    return layer >= 0 and scene.known(name)


def _gains(scene: Scene, layer: int, side: str) -> Numbers | None:
    """What a side's norm of a layer multiplies each channel with [D]; None where its values don't tell."""
    entering = f"model.layers.{layer - 1}" if layer else "model.embed_tokens"
    y = scene.own_of(f"model.layers.{layer}{_NORM}", side)
    x = next(
        (
            value
            for name in (f"model.layers.{layer}:input", entering)
            if (value := scene.own_of(name, side)) is not None
        ),
        None,
    )
    if x is None or y is None or x.size != y.size or x.ndim < 2 or x.size // x.shape[-1] < _FEWEST:
        return None
    x, y = (value.reshape(-1, value.shape[-1]) for value in (x, y))  # [N,D]
    for unit, level in ((unit_rows(x), 0.0), (unit_rows(x - x.mean(axis=1, keepdims=True)), 1.0)):
        flat, rest = unit - level * unit.mean(axis=0), y - level * y.mean(axis=0)
        gains = (rest * flat).sum(axis=0) / np.maximum(np.square(flat).sum(axis=0), 1e-300)  # [D]
        if float(np.linalg.norm(gains * flat - rest)) <= scene.limit * float(np.linalg.norm(rest)):
            return np.asarray(gains)
    return None


def _apart(gains: Numbers, other: Numbers | None) -> float:
    """The distance between two norms' factors [D], relative to the second's; infinite if that one is unknown."""
    if other is None or gains.shape != other.shape:
        return np.inf
    return float(np.linalg.norm(gains - other) / np.linalg.norm(other))


def _apart_but_for_size(gains: Numbers, other: Numbers | None) -> float:
    """The same, the second's multiplied by whatever brings them nearest."""
    if other is None or gains.shape != other.shape:
        return np.inf
    return _apart(gains, other * float(gains @ other / (other @ other)))
