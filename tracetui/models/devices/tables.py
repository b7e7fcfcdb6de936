"""What a model computes with beside its weights: rotary frequencies and other tables that its modules hold."""

from __future__ import annotations

import torch
from torch import nn

from tracetui.models.devices.chosen import CPU
from tracetui.models.weights.placeholder import Placeholder


def move_tables(model: nn.Module, device: torch.device) -> None:
    """Put a model's buffers, and tensors that are plain attributes of its modules, on a device; no weights.

    What stands in two places is one tensor afterwards too.
    """
    if device == CPU:
        return
    moved: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def there(tensor: torch.Tensor) -> torch.Tensor:
        known = moved.get(id(tensor))
        if known is None:
            known = moved[id(tensor)] = tensor, tensor.to(device)
        return known[1]

    for module in model.modules():
        for held in (module._buffers, vars(module)):
            for name, tensor in list(held.items()):
                if type(tensor) is torch.Tensor and not isinstance(tensor, Placeholder) and not tensor.is_meta:
                    held[name] = there(tensor)
