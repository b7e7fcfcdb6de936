"""The ranks that run a model together, and which of them this is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch.distributed
from torch import nn

from tracetui.models.module_tree import KnownModel
from tracetui.models.ranks.cuts import axis_name
from tracetui.models.ranks.local import is_spread
from tracetui.recording.parallel import Parallel

_SIZE_AND_PLACE = (torch.distributed.get_world_size, torch.distributed.get_rank)
_COPIES = "dp"
"""What the axis is called here along which each rank has a copy of the model."""


def without_wrapper(model: nn.Module) -> nn.Module:
    """The model itself, where it stands in a module that has each rank or device run a copy of it."""
    while isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        model = model.module
    return model


def parallel_of(model: nn.Module, known: KnownModel) -> Parallel | None:
    """The ranks of the program and the axes by which a model lies on them; None where this is its only process.

    model: with its wrapper, where it has one. known: without.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return None
    world = torch.distributed.get_world_size()
    if world < 2:
        return None
    mesh: dict[str, int] = {}
    coordinates: dict[str, int] = {}
    if isinstance(model, nn.parallel.DistributedDataParallel):
        mesh[_COPIES], coordinates[_COPIES] = (ask(model.process_group) for ask in _SIZE_AND_PLACE)
    for each in _meshes(without_wrapper(model), known.modules):
        for axis in range(each.ndim):
            if each.size(axis) > 1:
                name = axis_name(each, axis)
                mesh[name], coordinates[name] = each.size(axis), each.get_local_rank(axis)
    return Parallel(world, torch.distributed.get_rank(), mesh, coordinates)


def _meshes(model: nn.Module, modules: Mapping[str, nn.Module]) -> Iterator[Any]:
    """Every mesh that a model lies on: transformers', of which stages have no tensor, and those of its weights."""
    own = getattr(model, "_device_mesh", None)
    if own is not None:
        yield own
    seen: set[int] = set()
    for module in modules.values():
        for weight in module._parameters.values():
            if weight is not None and is_spread(weight) and id(mesh := cast("Any", weight).device_mesh) not in seen:
                seen.add(id(mesh))
                yield mesh
