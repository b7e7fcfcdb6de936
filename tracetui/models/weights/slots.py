"""Where a model's weights belong: the parameters, and the buffers that checkpoints hold, of each of its modules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from tracetui.models.devices.chosen import CPU
from tracetui.models.weights.placeholder import Lender, put_placeholder
from tracetui.models.weights.precision import kept_dtypes
from tracetui.models.weights.sources import Init, TensorSpec, WeightSource

SELECTION_BIASES = ("e_score_correction_bias", "expert_bias", "score_correction_bias")
"""What routers add to their scores for the choice alone, by the names that families give it."""


@dataclass(frozen=True, eq=False, slots=True)
class Slot:
    """One parameter of one module, or a buffer that checkpoints hold."""

    parameter: str
    spec: TensorSpec
    provenance: str
    placeholder: torch.Tensor
    is_buffer: bool = False

    def look(self, module: nn.Module) -> torch.Tensor | None:
        """What stands in the slot now."""
        return module._buffers[self.parameter] if self.is_buffer else module._parameters[self.parameter]

    def fill(self, module: nn.Module, value: torch.Tensor) -> None:
        """Put a tensor in the slot."""
        if self.is_buffer:
            module._buffers[self.parameter] = value
        else:
            module._parameters[self.parameter] = self.held(value)  # type: ignore[assignment]

    def held(self, value: torch.Tensor) -> torch.Tensor:
        """A tensor in the form that the slot holds: a parameter, or for a buffer the plain tensor.

        A parameter keeps the slot's `requires_grad`: torch chooses its multiplication kernel by it, even under no_grad.
        """
        if self.is_buffer or isinstance(value, nn.Parameter):
            return value
        return nn.Parameter(value, requires_grad=self.placeholder.requires_grad)


def find_slots(
    model: nn.Module, dtype: torch.dtype, source: WeightSource, lender: Lender, device: torch.device = CPU
) -> Iterator[tuple[nn.Module, tuple[Slot, ...]]]:
    """The slots of each module that has any, in the order of the model, with a placeholder in each.

    Small tables of integers that the source has are read at once, and have no slot.
    """
    names: dict[torch.Tensor, str] = {}
    placeholders: dict[str, torch.Tensor] = {}
    kept = kept_dtypes(model, dtype)
    for path, module in model.named_modules():
        found = []
        for parameter, tensor in module._parameters.items():
            if tensor is None:
                continue
            # A tied tensor is one Parameter in two places, and stays one: it keeps the first place's name.
            name = names.setdefault(tensor, f"{path}.{parameter}" if path else parameter)
            spec = TensorSpec(name, tuple(tensor.shape), kept(name, tensor), init_of(module, parameter))
            if name not in placeholders:
                placeholders[name] = put_placeholder(name, tensor, spec.dtype, lender, device)
            found.append(Slot(parameter, spec, source.provenance(spec) or "", placeholders[name]))
        for buffer, tensor in stored_buffers(module):
            name = f"{path}.{buffer}" if path else buffer
            spec = TensorSpec(name, tuple(tensor.shape), kept(name, tensor), init_of(module, buffer))
            provenance = source.provenance(spec)
            if spec.dtype.is_floating_point:
                placeholder = put_placeholder(name, tensor, spec.dtype, lender, device)
                found.append(Slot(buffer, spec, provenance or "", placeholder, is_buffer=True))
            elif provenance is not None:
                # Small tables, by which no float is multiplied: they stay in place.
                module._buffers[buffer] = source.read(spec, None, lambda made: None)
        if found:
            yield module, tuple(found)


def stored_buffers(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Buffers that a checkpoint holds, as of a router's selection bias."""
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield name, buffer


def init_of(module: nn.Module, parameter: str) -> Init:
    """How a module's parameter is filled when it is random."""
    if parameter in SELECTION_BIASES:
        # Zero, it would choose nobody, and show nothing.
        return Init.NORMAL
    if parameter.endswith("bias"):
        return Init.ZEROS
    return Init.ONES if "Norm" in type(module).__name__ else Init.NORMAL
