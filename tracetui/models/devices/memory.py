"""What memory a device can still give."""

from __future__ import annotations

import torch

from tracetui.models.weights.available_memory import available_bytes
from tracetui.models.weights.memory import give_back_memory


def free_bytes(device: torch.device) -> int:
    """Bytes that a device can give now; of a GPU those too that torch holds and nothing lies in."""
    if device.type != "cuda":
        return available_bytes()
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free) + int(unused)


def give_back(device: torch.device) -> None:
    """Return to the system what nobody uses any more: of the processor's memory, and of a GPU's."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    give_back_memory()
