"""Tensors of one pass as they were when they passed by: one snapshot of each, until somebody writes to it."""

from __future__ import annotations

import torch

from tracetui.tracer.capture.alias import capture_function
from tracetui.tracer.capture.readable import is_readable
from tracetui.tracer.capture.store import ValueStore
from tracetui.tracer.capture.values import TorchValue


class Snapshots:
    """Values of what is described later, where what they captured stands for it. Used by the model's thread alone.

    A snapshot shares the memory of its tensor, which is kept until `forget`, so that no other takes its identity.
    """

    def __init__(self, store: ValueStore) -> None:
        self._store = store
        self._capture = capture_function()
        self._known: dict[int, tuple[torch.Tensor, int, TorchValue]] = {}
        """By identity: the tensor, the version of it, and its value."""
        self._values: dict[int, TorchValue] = {}
        """By the identity of what they captured."""
        self._bases: dict[int, torch.Tensor] = {}
        self._themselves: dict[int, torch.Tensor] = {}
        """By identity, tensors that were recorded without a snapshot, and are known to others as they are."""
        self.any_taken = False

    def of(self, tensor: torch.Tensor) -> TorchValue | None:
        """A tensor's value, which knows if it is finite; the same until it is written to. None where there is none."""
        known = self._known.get(id(tensor))
        if known is not None and known[1] == tensor._version:
            return known[2]
        return self._taken(tensor)

    def value(self, tensor: torch.Tensor) -> TorchValue | None:
        """What is recorded of a snapshot, or of a tensor that has one; None of all else."""
        if (value := self._values.get(id(tensor))) is not None:
            return value
        known = self._known.get(id(tensor))
        return known[2] if known is not None and known[1] == tensor._version else None

    def base(self, snapshot: torch.Tensor) -> torch.Tensor | None:
        """The snapshot of what a tensor was a view of, if it was all of that and in the same form."""
        return self._bases.get(id(snapshot))

    def leave(self, tensor: torch.Tensor) -> None:
        """Take no snapshot of a tensor: what an edit made."""
        self._themselves[id(tensor)] = tensor

    def let_go(self) -> None:
        """No tensor of the model's comes by any more."""
        self._known.clear()

    def forget(self) -> None:
        """Keep no tensor of the model's alive."""
        self._known.clear()
        self._values.clear()
        self._bases.clear()
        self._themselves.clear()
        self.any_taken = False

    def _taken(self, tensor: torch.Tensor) -> TorchValue | None:
        if (
            id(tensor) in self._values
            or id(tensor) in self._themselves
            or not is_readable(tensor)
            or tensor.is_inference()
        ):
            return None
        value = self._store.in_memory(self._capture(tensor))
        if value is None:
            return None
        value.all_finite()
        self._known[id(tensor)] = (tensor, tensor._version, value)
        self._values[id(value.captured)] = value
        self.any_taken = True
        base = tensor._base
        if base is not None and base.shape == tensor.shape and base.stride() == tensor.stride():
            known = self._known.get(id(base))
            if id(base) in self._themselves:
                self._bases[id(value.captured)] = base
            elif known is not None and known[1] == base._version:
                self._bases[id(value.captured)] = known[2].captured
        return value
