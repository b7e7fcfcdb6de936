"""A checkpoint's structure read off a model on no memory, in the names that its published files have.

transformers 5 keeps some tensors fused that checkpoints keep apart, all experts of a layer above all. Its own
rules for writing a checkpoint, applied to tensors on meta, give the published names and shapes; of layers that
are alike only the first goes through them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from tracetui.analysis.checkpoint import BUFFER, CheckpointTensor, ModulePart, fold
from tracetui.models.pass_through import PassThrough
from tracetui.models.weights.experts import configured_experts, is_routed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

State = dict[str, torch.Tensor]
_HABIT = ("gate_proj", "up_proj", "down_proj")
"""The order in which everybody names the matrices of a feed-forward layer."""


@dataclass(frozen=True, eq=False, slots=True)
class _Kept:
    """What is read off the modules, of layers that are alike the first only."""

    state: State = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    """By the tensor's identity, which survives renaming: why it isn't counted."""
    first_names: dict[int, str] = field(default_factory=dict)
    """By the parameter's identity, the name under which it was seen first."""
    alike: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """A kept layer's path, and the numbers of all that are like it."""
    skipped: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """A list's path, and the layers in it that were not asked for."""


def checkpoint_tree(model: PreTrainedModel) -> ModulePart:
    """The tree of a model; the root's name is empty, its kind the model's class. None of its tensors is read."""
    kept = _Kept()
    _keep(kept, "", model, fold_lists=True)
    state = checkpoint_names(model, kept.state)
    if not all(any(name.startswith(f"{path}.") for name in state) for path in kept.alike):
        # The layers have other paths in the files: go through all of them.
        kept = _Kept()
        _keep(kept, "", model, fold_lists=False)
        state = checkpoint_names(model, kept.state)
    return _Grower(model, kept, state).grow()


def checkpoint_names(model: PreTrainedModel, state: State) -> State:
    """Tensors on meta under the names, and in the shapes, that a published checkpoint has."""
    from transformers.core_model_loading import revert_weight_conversion

    return dict(revert_weight_conversion(model, state))


def _keep(kept: _Kept, path: str, module: nn.Module, fold_lists: bool) -> None:
    at = f"{path}." if path else ""
    for name, tensor in _own(module):
        first = kept.first_names.setdefault(id(tensor), f"{at}{name}")
        # An object of its own for every place: a tied tensor is noted in all places but the first.
        # On meta whatever the model stands on: the rules put experts together, a layer's at once.
        kept.state[f"{at}{name}"] = placed = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
        if first != f"{at}{name}":
            kept.notes[id(placed)] = f"tied to {first}"
        elif not isinstance(tensor, nn.Parameter):
            kept.notes[id(placed)] = BUFFER
    if isinstance(module, nn.ModuleList):
        skipped = tuple(index for index, child in enumerate(module) if isinstance(child, PassThrough))
        if skipped:
            kept.skipped[path] = skipped
        if fold_lists:
            _keep_first_of_alike(kept, path, module)
            return
    for name, child in module.named_children():
        _keep(kept, f"{at}{name}", child, fold_lists)


def _keep_first_of_alike(kept: _Kept, path: str, modules: nn.ModuleList) -> None:
    alike: dict[object, list[int]] = {}
    seen = set(kept.first_names)
    for index, module in enumerate(modules):
        if not isinstance(module, PassThrough):
            own = {id(tensor) for tensor in module.parameters()}
            # What a layer shares with one before it is counted there: a copy of that layer it is not.
            alike.setdefault(signature(module) if seen.isdisjoint(own) else index, []).append(index)
            seen |= own
    for indices in alike.values():
        kept.alike[f"{path}.{indices[0]}"] = tuple(indices)
        _keep(kept, f"{path}.{indices[0]}", modules[indices[0]], True)
        for index in indices[1:]:
            for name, tensor in modules[index].named_parameters():
                kept.first_names.setdefault(id(tensor), f"{path}.{index}.{name}")


def signature(module: nn.Module) -> tuple[object, ...]:
    """What two layers have in common whose tensors differ in their values only."""
    tensors = [
        (path, name, tuple(tensor.shape)) for path, inner in module.named_modules() for name, tensor in _own(inner)
    ]
    return (type(module), *tensors)


def _own(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """A module's own parameters, and the buffers that a checkpoint holds."""
    yield from ((name, tensor) for name, tensor in module._parameters.items() if tensor is not None)
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield name, buffer


class _Grower:
    """Makes the tree from names: `a.b.weight` is tensor `weight` of part `b` of part `a`."""

    def __init__(self, model: PreTrainedModel, kept: _Kept, state: State) -> None:
        self._model = model
        self._kept = kept
        self._modules: Mapping[str, nn.Module] = dict(model.named_modules())
        self._experts = configured_experts(model.config)
        self._state = state

    def grow(self) -> ModulePart:
        return self._part("", self._state, in_experts=False)

    def _part(self, path: str, state: State, in_experts: bool) -> ModulePart:
        """The part at `path`; state: its tensors by their names from there on."""
        inner: dict[str, State] = {}
        tensors = []
        for name, tensor in state.items():
            head, dot, rest = name.partition(".")
            if dot:
                inner.setdefault(head, {})[rest] = tensor
            else:
                tensors.append(self._tensor(name, tensor, in_experts))
        children = [
            self._part(f"{path}.{name}" if path else name, inner[name], "experts" in (name, path.rpartition(".")[2]))
            for name in self._in_order(path, inner)
        ]
        if path in self._kept.skipped:
            skipped = self._kept.skipped[path]
            children.append(ModulePart("", indices=skipped, skipped=True))
        folded = sorted(fold(children), key=lambda part: part.indices[:1])
        return self._named(path, ModulePart("", tensors=tuple(tensors), children=tuple(folded)))

    def _named(self, path: str, part: ModulePart) -> ModulePart:
        name = path.rpartition(".")[2]
        module = self._modules.get(path)
        kind = type(module).__name__ if module is not None else ""
        indices = self._kept.alike.get(path, (int(name),) if name.isdigit() else ())
        order = [own for own, _ in _own(module)] if module is not None else ["weight"]
        tensors = tuple(
            sorted(part.tensors, key=lambda tensor: order.index(tensor.name) if tensor.name in order else len(order))
        )
        is_expert = name.isdigit() and path.split(".")[-2:-1] == ["experts"]
        return replace(part, name=name, kind=kind, tensors=tensors, indices=indices, routed=is_expert)

    def _tensor(self, name: str, tensor: torch.Tensor, in_experts: bool) -> CheckpointTensor:
        shape = tuple(tensor.shape)
        routed = is_routed(shape, self._experts, in_experts)
        return CheckpointTensor(name, shape, self._kept.notes.get(id(tensor), ""), routed)

    def _in_order(self, path: str, inner: Mapping[str, State]) -> list[str]:
        """As the modules stand; what no module is called comes last, numbers in their order."""
        module = self._modules.get(path)
        known = [name for name, _ in module.named_children()] if module is not None else []
        known = [name for name in known if name in inner] or [name for name in _HABIT if name in inner]
        rest = [name for name in inner if name not in known]
        return known + sorted(rest, key=lambda name: (int(name) if name.isdigit() else -1, name))
