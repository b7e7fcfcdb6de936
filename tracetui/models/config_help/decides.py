"""Which tensors a configuration's field decides: the model is built again, on no memory, with that field changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import torch

from tracetui.analysis.checkpoint import ModulePart, every_tensor
from tracetui.errors import TracetuiError
from tracetui.models.build import build_model
from tracetui.models.checkpoints.layouts import Naming, naming
from tracetui.models.checkpoints.tree import checkpoint_tree
from tracetui.recipe import Layers, Recipe
from tracetui.recipe.config import LAYER_FIELDS, with_layers
from tracetui.recipe.fields.field import NOTHING, DecidedShape, Decides

WHOLE_LAYERS = "whole layers"
Shapes = dict[str, tuple[int, ...]]
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_TO_LAYER = re.compile(r"^.*?\.\d+\.")


class Decider:
    """Answers for one model what each of its fields decides."""

    def __init__(self, recipe: Recipe, tree: ModulePart) -> None:
        self._recipe = _shortened(recipe, tree)
        self._layers = recipe.layer_count
        model = build_model(self._recipe, torch.bfloat16).module
        self._before = _shapes(self._recipe) or {}
        self._held = _held(checkpoint_tree(model), naming("hf", model))

    def decides(self, field: str, value: object) -> Decides:
        """What changes with a field whose value is `value`; nothing if no other value can be built."""
        if value == self._layers and field in LAYER_FIELDS:
            return Decides(placed=(WHOLE_LAYERS,))
        first = None
        for other in _others(value):
            after = _shapes(replace(self._recipe, config={**self._recipe.config, field: other}))
            if after is None:
                continue
            difference = self._difference(after)
            if not difference.present:
                return difference
            # Too much may have been changed: a smaller change may leave some of every kind.
            first = first or difference
        return first or NOTHING

    def _difference(self, after: Shapes) -> Decides:
        before = self._before
        changed = {name: _axes(before[name], after[name]) for name in before if name in after}
        shapes = dict.fromkeys(shape for name, axes in changed.items() for shape in self._decided(name, axes))
        kinds = ({_alike(name) for name in before}, {_alike(name) for name in after})
        moved = dict.fromkeys(_alike(name) for name in (*before, *after) if (name in before) != (name in after))
        everywhere = kinds[0] & kinds[1]
        present = [name for name in moved if name not in everywhere]
        placed = [name for name in moved if name in everywhere]
        return Decides(tuple(shapes), self._published(present), self._published(placed))

    def _published(self, names: list[str]) -> tuple[str, ...]:
        """The checkpoint's names for those of parameters, where it has others."""
        held = {_alike(name): [_alike(own) for own, _ in own_names] for name, own_names in self._held.items()}
        return tuple(own for name in names for own in held.get(name, [name]))

    def _decided(self, name: str, axes: tuple[int, ...]) -> Iterator[DecidedShape]:
        """The checkpoint's tensors behind a parameter whose `axes` changed."""
        for own, shape in self._held.get(name, ()) if axes else ():
            # Experts that stand one by one in the file lack the parameter's first axis.
            fused = len(self._before[name]) - len(shape)
            own_axes = tuple(axis - fused for axis in axes if axis >= fused)
            yield DecidedShape(_alike(own), shape, own_axes)


def _shortened(recipe: Recipe, tree: ModulePart) -> Recipe:
    """The model with no more layers than it takes to have one of every kind, if such a one can be built."""
    count = max((part.indices[0] + 1 for part in _layer_parts(tree)), default=recipe.layer_count)
    short = replace(recipe, config=with_layers(recipe.config, count), layers=Layers(0, count))
    same = _kinds(short) == _kinds(replace(recipe, layers=Layers(0, recipe.layer_count)))
    return short if same else replace(recipe, layers=Layers(0, recipe.layer_count))


def _layer_parts(part: ModulePart) -> Iterator[ModulePart]:
    for child in part.children:
        if child.indices:
            yield child
        else:
            yield from _layer_parts(child)


def _kinds(recipe: Recipe) -> frozenset[tuple[str, tuple[int, ...]]]:
    return frozenset((_alike(name), shape) for name, shape in (_shapes(recipe) or {}).items())


def _shapes(recipe: Recipe) -> Shapes | None:
    """Every parameter and stored buffer with its shape; None if the model can't be built."""
    try:
        model = build_model(replace(recipe, layers=Layers(0, recipe.layer_count)), torch.bfloat16).module
    except TracetuiError:
        return None
    once = {name for name, _ in model.named_parameters()}
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False) if name not in once}
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name not in tied}


def _others(value: object) -> Iterator[object]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int) and value > 0:
        yield from (2 * value, 4 * value, value + 1, value // 2, value - 1)


def _axes(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    if len(one) != len(other):
        return tuple(range(len(one)))
    return tuple(axis for axis, (length, changed) in enumerate(zip(one, other, strict=True)) if length != changed)


def _held(tree: ModulePart, holder: Naming) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """For each parameter the checkpoint's tensors that it holds, of experts that are alike the first."""
    tensors: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, tensor in every_tensor(tree):
        if (other := holder(name)) is not None:
            held = tensors.setdefault(other.name, [])
            if _alike(name) not in [_alike(own) for own, _ in held]:
                held.append((name, tensor.shape))
    return tensors


def _alike(name: str) -> str:
    """A name without its layer, and with N for the number of an expert: `mlp.experts.N.up_proj.weight`."""
    return _NUMBER.sub("N", _TO_LAYER.sub("", name))
