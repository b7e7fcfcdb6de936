"""From a recipe to its checkpoint's structure; no weights are made and no weight file is opened."""

from __future__ import annotations

from dataclasses import replace

import torch

from tracetui.analysis.checkpoint import ModulePart, Structure, active_parameters, buffer_values, has_routed, span
from tracetui.models.build import build_model
from tracetui.models.checkpoints.layouts import naming
from tracetui.models.checkpoints.tree import checkpoint_tree
from tracetui.models.weights.experts import configured_experts, experts_per_token
from tracetui.recipe import Layers, Recipe


def read_structure(recipe: Recipe, layout: str | None = None, only_built: bool = False) -> Structure:
    """The structure of a recipe's whole checkpoint, or `only_built` of the recipe's layers.

    Raises InputError if the model can't be built or the layout is another family's.
    """
    everything = replace(recipe, layers=Layers(0, recipe.layer_count))
    model = build_model(everything, torch.bfloat16).module
    whole = checkpoint_tree(model)
    built = whole if recipe.layers == everything.layers else _tree(recipe)
    chosen = experts_per_token(model.config) if has_routed(whole) else None
    active: int | None = whole.parameters
    if chosen is not None:
        active = active_parameters(whole, chosen)
    elif configured_experts(model.config) and any("expert" in name for name, _ in model.named_parameters()):
        active = None
    return Structure(
        name=recipe.name,
        tree=built if only_built else whole,
        parameters=whole.parameters,
        built=None if built is whole else (built.parameters, _layers(recipe)),
        chosen=chosen,
        active=active,
        buffers=buffer_values(whole),
        naming=naming(layout, model) if layout else None,
    )


def _tree(recipe: Recipe) -> ModulePart:
    return checkpoint_tree(build_model(recipe, torch.bfloat16).module)


def _layers(recipe: Recipe) -> str:
    numbers = span(range(recipe.layers.start, recipe.layers.stop))
    return f"layer{'s' if len(recipe.layers) > 1 else ''} {numbers} of {recipe.layer_count}"
