"""What a recipe tells of its model before that is built: how many layers, heads and experts, and its modules' names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from tracetui.analysis.experts.fields import EXPERT_COUNTS
from tracetui.expr.known_sites import ROLES, WHOLE_MODEL, ExpertBlock, role_problem
from tracetui.expr.model_facts import NO_FACTS, ModelFacts
from tracetui.recipe.config import HEAD_FIELDS
from tracetui.recipe.family_names import FamilyNames, family_names
from tracetui.recipe.model import Layers, Recipe
from tracetui.text import visible

_LAYER = re.compile(r"(?:^|\.)layers\.(\d{1,6})(?=[.:]|$)")
_KV_HEAD_FIELDS = ("num_key_value_heads",)
_NAME = re.compile(r"[A-Za-z_]\w*")
_OURS = frozenset({*WHOLE_MODEL, *ROLES, "gate", "router"})


@dataclass(frozen=True, eq=False, slots=True)
class RecipeSites:
    """Refuses what can't be a site of the family at all; whether a module is where a site has it, its tree knows."""

    layers: Layers
    count: int
    """Layers of the whole model."""
    names: FamilyNames

    def problem(self, pattern: str) -> str:
        """Why no record can be at a pattern of sites; empty if one can, as far as a recipe tells."""
        module, colon, role = pattern.partition("#")[0].partition(":")
        return self._no_layer(module) or self._no_name(module) or (role_problem(role) if colon else "")

    def _no_layer(self, module: str) -> str:
        layer = _LAYER.search(module)
        if layer is None or int(layer[1]) in self.layers:
            return ""
        number, run = int(layer[1]), _numbers(self.layers)
        if number >= self.count:
            return f"no layers.{number}; layers has {_numbers(Layers(0, self.count))}"
        return f"layer {number} is not run: --layers leaves {run}"

    def _no_name(self, module: str) -> str:
        if not self.names.words:
            return ""
        parts = module.split(".")
        for at, part in enumerate(parts):
            if _NAME.fullmatch(part) is None or part in self.names.words or part in _OURS:
                continue
            near = get_close_matches(part, self.names.modules, 1, 0.5)
            meant = ".".join([*parts[:at], near[0], *parts[at + 1 :]]) if near else ""
            hint = f"{visible(meant, 80)} is meant?" if meant else "`tracetui outline MODEL` lists the modules"
            return f"no module {visible(module, 80)}; {hint}"
        return ""

    def expert_blocks(self, pattern: str) -> Iterable[ExpertBlock]:
        """None: how many experts a block has is the configuration's."""
        return ()


def facts_of_recipe(recipe: Recipe, goes_on: bool = False) -> ModelFacts:
    """What is known before the model is built; of a model that a function makes, nothing.

    goes_on: somebody may have the run go on, so that it has no last pass.
    """
    if recipe.factory is not None or not recipe.config:
        return NO_FACTS
    generation, prompts = recipe.generation, recipe.prompts
    return ModelFacts(
        RecipeSites(recipe.layers, recipe.layer_count, family_names(recipe.config)),
        heads=head_count(recipe.config),
        kv_heads=_size(recipe.config, _KV_HEAD_FIELDS),
        experts=_size(recipe.config, EXPERT_COUNTS),
        tokens=max(map(len, prompts.ids), default=0) or (prompts.random[1] if prompts.random else 0),
        passes=0 if goes_on else max(1, generation.count),
        longer="--generate {} makes that pass",
    )


def head_count(config: Mapping[str, object]) -> int:
    """Query heads of every attention layer; 0 where that isn't known."""
    return _size(config, HEAD_FIELDS)


def _size(config: Mapping[str, object], names: Iterable[str]) -> int:
    """The size under one of its names; 0 where none has a number, or each layer may have its own."""
    if any("heads" in name and isinstance(value, list) for name, value in config.items()):
        return 0
    values = (config.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), 0)


def _numbers(layers: Layers) -> str:
    last = layers.stop - 1
    return f"{layers.start} to {last}" if last > layers.start else f"{layers.start} alone"
