"""How the weights of a model's modules are cut among ranks, and so what they are given and what they return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, cast

import torch
from torch import nn

from tracetui.models.ranks.local import cut_indices, is_spread, whole_indices
from tracetui.models.weights.experts import runs_singly
from tracetui.recording.parallel import WHOLE, Place, Shard

_CONTRACTED = "down_proj"
"""The weight of experts whose products are added up where its rows lie on several ranks."""


@dataclass(frozen=True, slots=True)
class ModuleCuts:
    """Of one module with weights that are cut."""

    given: Shard | None = None
    """How the last dimension of what it multiplies by its weight is cut, if it isn't whole."""
    returned: Shard | None = None
    """How the last dimension of what it returns is cut, if it isn't whole."""


@dataclass(frozen=True, slots=True)
class ExpertCuts:
    """Of a module that holds all experts of a layer."""

    first: int = 0
    """The first expert whose weights lie here."""
    count: int = 0
    """How many experts there are on all ranks."""
    here: int = 0
    """How many of them lie here."""
    partial: str = ""
    """The axis of the mesh over whose ranks what an expert returns is to be added up; empty where it is whole."""


def module_cuts(modules: Mapping[str, nn.Module]) -> dict[str, ModuleCuts]:
    """The cuts of modules, by their paths; of those alone whose own matrix is cut."""
    cuts = {path: _module_cuts(module) for path, module in modules.items()}
    return {path: cut for path, cut in cuts.items() if cut is not None}


def expert_cuts(modules: Mapping[str, nn.Module]) -> dict[str, ExpertCuts]:
    """The same of modules that hold experts, whose weights are cut by experts or within each."""
    cuts = {path: experts_of(module) for path, module in modules.items() if runs_singly(module)}
    return {path: cut for path, cut in cuts.items() if cut is not None}


def _module_cuts(module: nn.Module) -> ModuleCuts | None:
    weight = module._parameters.get("weight")
    if weight is None or weight.ndim != 2 or not is_spread(weight):
        return None
    if isinstance(module, nn.Embedding):
        return ModuleCuts(returned=_cut(weight, 1))
    return ModuleCuts(given=_cut(weight, 1), returned=_cut(weight, 0))


def _cut(weight: torch.Tensor, dimension: int) -> Shard | None:
    """How a dimension of a weight is cut by the innermost axis of its mesh that cuts it.

    An outer one beside it is of data in parallel, which puts the weight together for each call.
    """
    axis = _axis(weight, dimension)
    if axis is None:
        return None
    mesh = cast("Any", weight).device_mesh
    return shard_of(
        cut_indices(weight, dimension, (axis,)), dimension, mesh.size(axis), mesh.get_local_rank(axis), weight
    )


def _axis(weight: torch.Tensor, dimension: int) -> int | None:
    placements = cast("Any", weight).placements
    axes = [axis for axis, placement in enumerate(placements) if getattr(placement, "dim", None) == dimension]
    return axes[-1] if axes else None


def shard_of(indices: torch.Tensor, dimension: int, of: int, at: int, whole: torch.Tensor) -> Shard:
    """The part of a dimension that has these indices of the whole."""
    return Shard(dimension, of, at, whole.shape[dimension], ranges(indices))


def ranges(indices: torch.Tensor) -> tuple[tuple[int, int], ...]:
    """First and end of each run of indices that follow one another."""
    if not len(indices):
        return ()
    breaks: list[int] = (torch.nonzero(indices.diff() != 1).flatten() + 1).tolist()
    edges = pairwise([0, *breaks, len(indices)])
    return tuple((int(indices[start]), int(indices[end - 1]) + 1) for start, end in edges)


def experts_of(module: nn.Module) -> ExpertCuts | None:
    """How the experts in one module are cut; None where all of each lies here."""
    weight = module._parameters.get(_CONTRACTED)
    here = module.num_experts
    if weight is None or not is_spread(weight) or not isinstance(here, int):
        return None
    mesh = cast("Any", weight).device_mesh
    count, first, partial = weight.shape[0], 0, ""
    if here < count and (axis := _axis(weight, 0)) is not None:
        first = here * mesh.get_local_rank(axis)
    contracted = weight.ndim - (2 if getattr(module, "is_transposed", False) else 1)
    if (axis := _axis(weight, contracted)) is not None and mesh.size(axis) > 1:
        partial = axis_name(mesh, axis)
    return ExpertCuts(first, count, here, partial)


def axis_name(mesh: Any, axis: int) -> str:
    """What an axis of a mesh is called; its number where nobody named it."""
    names = mesh.mesh_dim_names
    return names[axis] if names else f"axis {axis}"


def place_of(tensor: torch.Tensor) -> Place:
    """The place of what lies here of a DTensor, as it says itself."""
    spread: Any = tensor
    mesh, placements = spread.device_mesh, spread.placements
    shards = []
    for dimension in range(tensor.ndim):
        axes = [axis for axis, placement in enumerate(placements) if getattr(placement, "dim", None) == dimension]
        if axes and (of := prod(mesh.size(axis) for axis in axes)) > 1:
            at = 0
            for axis in axes:
                at = at * mesh.size(axis) + mesh.get_local_rank(axis)
            shards.append(shard_of(whole_indices(tensor, dimension), dimension, of, at, tensor))
    partial = [axis_name(mesh, axis) for axis, placement in enumerate(placements) if placement.is_partial()]
    return Place(tuple(shards), tuple(partial)) if shards or partial else WHOLE
