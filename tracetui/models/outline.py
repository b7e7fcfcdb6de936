"""The module tree as the screen shows it, read off models that have no memory.

Modules are those of transformers, as sites are; experts that it fuses into one tensor stand beneath it as the
checkpoint has them. Layers that were not asked for, and experts, are folded where they are alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from tracetui.analysis.checkpoint import ModulePart, first_tensors, routed_parts, span
from tracetui.debugger.session import Module
from tracetui.errors import InputError
from tracetui.models.build import BuiltModel, build_model
from tracetui.models.checkpoints.layouts import LAYOUTS, Naming, naming
from tracetui.models.checkpoints.tree import checkpoint_tree, signature
from tracetui.models.module_tree import KnownModel
from tracetui.models.pass_through import PassThrough
from tracetui.models.weights.experts import configured_experts, experts_per_token, is_routed, may_have_experts
from tracetui.recipe import Layers, Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_TO_LAYER = re.compile(r"^.*?\.\d+\.")
_WEIGHT = ".weight"
Elsewhere = tuple[tuple[str, str], ...]


def outline_of(recipe: Recipe, built: BuiltModel) -> Module:
    """The tree of a recipe's whole model, of which `built` holds the layers asked for."""
    if len(recipe.layers) == recipe.layer_count:
        return outline(built.module)
    everything = replace(recipe, layers=Layers(0, recipe.layer_count))
    return outline(built.module, build_model(everything, torch.bfloat16).module)


def outline_of_module(known: KnownModel) -> Module:
    """The tree of a module that exists already: a model of transformers with its checkpoint's names, else its own."""
    model, made = known.model, known.once(_outlines)
    counts: _Counts = (None, None)
    if known.once(_may_have_experts):
        config = getattr(model, "config", None)
        counts = experts_per_token(config), configured_experts(config)
    if counts not in made:
        made[counts] = _outline_of_module(model)
    return made[counts]


_Counts = tuple[int | None, int | None]
"""How many experts a token uses, of how many: it may be changed in the configuration."""


def _may_have_experts(modules: Mapping[str, nn.Module]) -> bool:
    """Whether any parameters may be those of experts, of which a token uses some."""
    return any("experts" in path or may_have_experts(module) for path, module in modules.items())


def _outlines(modules: Mapping[str, nn.Module]) -> dict[_Counts, Module]:
    return {}


def _outline_of_module(module: nn.Module) -> Module:
    if hasattr(module, "base_model_prefix"):
        with suppress(Exception):
            # Its checkpoint's names come from tables that know the families, not what somebody made of them.
            return outline(module)
    return _LineGrower(module, frozenset(), _Published({}, {})).module("", module)


def outline(built: PreTrainedModel, whole: PreTrainedModel | None = None) -> Module:
    """The tree of `whole`, with shapes and parameter counts; a tied tensor counts where it stands first.

    Without one it is that of what is built, whose layers that were not asked for have nothing in them.
    """
    whole = whole or built
    skipped = frozenset(path for path, module in built.named_modules() if isinstance(module, PassThrough))
    return _LineGrower(whole, skipped, _published(whole)).module("", whole)


@dataclass(frozen=True, eq=False, slots=True)
class _Published:
    """What checkpoints have in place of transformers' parameters, of layers that are alike the first only."""

    experts: Mapping[str, ModulePart]
    """By the path of the module that holds them fused."""
    elsewhere: Mapping[str, Elsewhere]
    """By a parameter's name here, or a tensor's in the checkpoint."""


def _published(whole: PreTrainedModel) -> _Published:
    tree = checkpoint_tree(whole)
    holder, namings = naming("hf", whole), _namings(whole)
    experts: dict[str, ModulePart] = {}
    for path, part in routed_parts(tree):
        first, _ = next(first_tensors(part, path))
        if (held := holder(first)) is not None and held.remark:
            experts[held.name.rpartition(".")[0]] = replace(part, name=path)
    elsewhere: dict[str, Elsewhere] = {}
    for name, _ in first_tensors(tree):
        held = holder(name)
        names = tuple(_told(name, namings))
        elsewhere[name] = names
        if held is not None and not held.remark:
            elsewhere[held.name] = names
    return _Published(experts, elsewhere)


def _namings(model: PreTrainedModel) -> dict[str, Naming]:
    """Those of LAYOUTS that know this family."""
    namings: dict[str, Naming] = {}
    for layout in LAYOUTS:
        try:
            namings[layout] = naming(layout, model)
        except InputError:
            continue
    return namings


def _told(canonical: str, namings: Mapping[str, Naming]) -> Iterator[tuple[str, str]]:
    for layout, other in namings.items():
        if (other_name := other(canonical)) is None:
            yield layout, "has no such tensor"
        else:
            shape = f" {list(other_name.shape)}" if other_name.shape and other_name.remark else ""
            yield layout, f"{_short(other_name.name)}{shape}"


def _short(name: str) -> str:
    """A name without its layer, with N for the number of an expert: `ffn.experts.N.w1`."""
    return _NUMBER.sub("N", _TO_LAYER.sub("", name)).removesuffix(_WEIGHT)


@dataclass(eq=False, slots=True)
class _LineGrower:
    model: PreTrainedModel
    skipped: frozenset[str]
    published: _Published
    seen: set[nn.Parameter] = field(default_factory=set)

    def module(self, path: str, module: nn.Module) -> Module:
        own = {name: tensor for name, tensor in module._parameters.items() if tensor is not None}
        fresh = [(name, tensor) for name, tensor in own.items() if tensor not in self.seen]
        self.seen.update(own.values())
        children = tuple(self._children(path, module))
        counted = sum(tensor.numel() for _, tensor in fresh) + sum(child.parameters for child in children)
        active = sum(self._active(path, module, tensor) for _, tensor in fresh) + sum(map(_used, children))
        if (part := self.published.experts.get(path)) is not None:
            children = (*children, self._experts(path, part))
        first = next(iter(own), "")
        return Module(
            path=path,
            kind=type(module).__name__,
            parameters=counted,
            weights=tuple((name, tuple(tensor.shape)) for name, tensor in own.items()),
            children=children,
            active=active if active < counted and self._chosen else None,
            elsewhere=self.published.elsewhere.get(f"{path}.{first}", ()) if first else (),
        )

    @property
    def _chosen(self) -> int:
        """Experts of a block that a token uses; 0 where it isn't known."""
        return experts_per_token(getattr(self.model, "config", None)) or 0

    def _active(self, path: str, module: nn.Module, tensor: nn.Parameter) -> int:
        counts = configured_experts(getattr(self.model, "config", None)), getattr(module, "num_experts", None)
        among_experts, shape = path.rpartition(".")[2] == "experts", tuple(tensor.shape)
        routed = any(is_routed(shape, count, among_experts) for count in counts if isinstance(count, int))
        return tensor.numel() // tensor.shape[0] * min(self._chosen, tensor.shape[0]) if routed else tensor.numel()

    def _children(self, path: str, module: nn.Module) -> Iterator[Module]:
        at = f"{path}." if path else ""
        if isinstance(module, nn.ModuleList):
            yield from self._listed(path, module)
            return
        for name, child in module.named_children():
            yield self.module(f"{at}{name}", child)

    def _listed(self, path: str, modules: nn.ModuleList) -> Iterator[Module]:
        """The modules of a numbered list; skipped layers and experts that are alike as one."""
        routed = path.rpartition(".")[2] == "experts"
        made: dict[object, Module] = {}
        groups: list[tuple[object, Module, list[int]]] = []
        apart = 0
        for index, module in enumerate(modules):
            here = f"{path}.{index}"
            line = self._like_before(made, here, module)
            folds = routed or here in self.skipped
            apart += not folds
            key = (apart, signature(module)) if folds else index
            known = next((group for group in groups if group[0] == key), None)
            if known is None:
                groups.append((key, line, [index] if folds else []))
            else:
                known[2].append(index)
        for _, line, indices in groups:
            yield _several(line, path, indices, self._chosen if routed else None) if indices else line

    def _like_before(self, made: dict[object, Module], path: str, module: nn.Module) -> Module:
        """The line of a module; made from an earlier module's line if their tensors differ only in their values."""
        key = signature(module)
        if key in made and self.seen.isdisjoint(module.parameters()):
            return moved(made[key], path)
        line = self.module(path, module)
        made.setdefault(key, line)
        return line

    def _experts(self, path: str, part: ModulePart) -> Module:
        """The checkpoint's own experts, under the module that holds them fused; `part` is named by its whole path."""
        at = f"{path}.{span(part.indices)}"
        children = tuple(
            self._stored(f"{at}.{child.name}", f"{part.name}.{child.name}", child) for child in part.children
        )
        weights = tuple((tensor.name, tensor.shape) for tensor in part.tensors)
        used = part.own_parameters * min(self._chosen, part.copies)
        return Module(at, part.kind, part.parameters, weights, children, False, part.indices, used if used else None)

    def _stored(self, path: str, name: str, part: ModulePart) -> Module:
        children = tuple(self._stored(f"{path}.{child.name}", f"{name}.{child.name}", child) for child in part.children)
        weights = tuple((tensor.name, tensor.shape) for tensor in part.tensors)
        names = self.published.elsewhere.get(f"{name}.{weights[0][0]}", ()) if weights else ()
        return Module(path, part.kind, part.parameters, weights, children, elsewhere=names)


def _used(module: Module) -> int:
    return module.parameters if module.active is None else module.active


def _several(module: Module, path: str, indices: Sequence[int], chosen: int | None) -> Module:
    """One line for several equal modules: experts, `chosen` of them per token, or layers that are not run (None)."""
    copies = len(indices)
    used = _used(module) * (min(chosen, copies) if chosen else copies)
    total = module.parameters * copies
    return replace(
        moved(module, f"{path}.{span(indices)}"),
        parameters=total,
        active=used if used < total else None,
        indices=tuple(indices),
        skipped=chosen is None,
    )


def moved(module: Module, path: str) -> Module:
    """The same lines at another path."""
    children = tuple(moved(child, f"{path}{child.path[len(module.path) :]}") for child in module.children)
    return replace(module, path=path, children=children)
