"""Which of a model's weights are put in place together, and which of them stay there between runs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tracetui.models.weights.experts import is_per_expert, runs_singly
from tracetui.models.weights.slots import Slot
from tracetui.models.weights.sources import TensorSpec


def nbytes_of(slots: Sequence[Slot]) -> int:
    """Bytes of all of these together."""
    return sum(slot.spec.nbytes() for slot in slots)


def reads_rows(module: nn.Module) -> bool:
    """Whether a module is a table of which the rows that are looked up are enough."""
    return isinstance(module, nn.Embedding)


def put_whole(module: nn.Module, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Those that are there whole while the module runs; experts are made one by one."""
    if not runs_singly(module):
        return slots
    return tuple(slot for slot in slots if not is_per_expert(module, slot.spec))


def per_expert(slots: dict[nn.Module, tuple[Slot, ...]]) -> dict[nn.Module, dict[str, TensorSpec]]:
    """What has a row for each expert, in the modules whose experts are made one by one."""
    return {
        module: {slot.parameter: slot.spec for slot in own if is_per_expert(module, slot.spec)}
        for module, own in slots.items()
        if runs_singly(module)
    }


def choose_resident(slots: dict[nn.Module, tuple[Slot, ...]], budget: int) -> tuple[frozenset[nn.Module], int]:
    """The modules whose weights stay, and what is left of the budget."""
    resident = set()
    for module, own in slots.items():
        size = nbytes_of(own)
        if size <= budget and not reads_rows(module):
            resident.add(module)
            budget -= size
    return frozenset(resident), budget
