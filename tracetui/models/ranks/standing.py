"""Weights that stand in a model for as long as it lives: each rank's own part of them, made once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from tracetui.models.ranks.boxes import read_box
from tracetui.models.ranks.local import local_tensor, with_local
from tracetui.models.weights.precision import kept_dtypes
from tracetui.models.weights.slots import Slot, init_of, stored_buffers
from tracetui.models.weights.sources import TensorSpec, WeightSource
from tracetui.models.weights.streaming import Weights

Specs = Mapping[tuple[str, str], TensorSpec]
"""By the path of a module and the name of its parameter, or of a buffer that checkpoints hold."""


def specs_of(model: nn.Module, dtype: torch.dtype) -> dict[tuple[str, str], TensorSpec]:
    """What of a model that is built without memory stands in checkpoints; a tied tensor has its first place's name."""
    names: dict[torch.Tensor, str] = {}
    specs: dict[tuple[str, str], TensorSpec] = {}
    kept = kept_dtypes(model, dtype)
    for path, module in model.named_modules():
        own = [(name, tensor) for name, tensor in module._parameters.items() if tensor is not None]
        for name, tensor in (*own, *stored_buffers(module)):
            place = f"{path}.{name}" if path else name
            whole = names.setdefault(tensor, place)
            specs[path, name] = TensorSpec(whole, tuple(tensor.shape), kept(whole, tensor), init_of(module, name))
    return specs


class StandingWeights(Weights):
    """Of a model on several ranks, once it is distributed."""

    def __init__(self, model: nn.Module, dtype: torch.dtype, source: WeightSource, specs: Specs) -> None:
        super().__init__(nn.Module(), dtype, source, 0)
        self._model = model
        self._specs = {path: dict[str, TensorSpec]() for path, _ in specs}
        for (path, name), spec in specs.items():
            self._specs[path][name] = spec
        self._slots = {module: slots for path, module in model.named_modules() if (slots := self._own(path, module))}

    def _own(self, path: str, module: nn.Module) -> tuple[Slot, ...]:
        there = {**module._parameters, **module._buffers}
        blank = torch.empty(0)
        return tuple(
            Slot(name, spec, self.source.provenance(spec) or "", blank, is_buffer=name in module._buffers)
            for name, spec in self._specs.get(path, {}).items()
            if there.get(name) is not None
        )

    @property
    def local_bytes(self) -> int:
        """Bytes of what lies on this rank."""
        return sum(
            local_tensor(tensor).numel() * slot.spec.dtype.itemsize
            for module, slot in self.all_slots()
            if (tensor := slot.look(module)) is not None
        )

    def make(self) -> None:
        """Read every weight, each for what of it lies here."""
        for module, slot in self.all_slots():
            parameter = slot.look(module)
            assert parameter is not None
            if self.source.provenance(slot.spec) is None:
                continue
            here = read_box(self.source, slot.spec, parameter, lambda made: None)
            made = with_local(parameter, here)
            slot.fill(module, made if slot.is_buffer else nn.Parameter(made, requires_grad=parameter.requires_grad))

    def take_out(self, module: nn.Module) -> None:
        """They stay."""

    def clear(self) -> None:
        """They go with the model."""
