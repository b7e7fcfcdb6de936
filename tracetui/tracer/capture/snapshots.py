"""Tensors of one pass as they were when they passed by: one snapshot of each, until somebody writes to it."""

from __future__ import annotations

from array import array

import torch

from tracetui.native.statistics import first_not_finite
from tracetui.tracer.capture.alias import capture_function
from tracetui.tracer.capture.readable import is_readable
from tracetui.tracer.capture.statistics import floats_in
from tracetui.tracer.capture.store import ValueStore
from tracetui.tracer.capture.values import TorchValue
from tracetui.tracer.ranks.places import Places

LOOKED_AT = 2**20
"""Bytes that are looked at for NaN in one call: so few that they are in the processor's cache still."""


class Snapshots:
    """Values of what is described later, where what they captured stands for it. Used by the model's thread alone.

    A snapshot shares the memory of its tensor, which is kept until `forget`, so that no other takes its identity.
    """

    def __init__(self, store: ValueStore) -> None:
        self._store = store
        self._capture = capture_function()
        self.known: dict[int, tuple[torch.Tensor, int, TorchValue]] = {}
        """By identity: the tensor, the version of it, and its value."""
        self._values: dict[int, TorchValue] = {}
        """By the identity of what they captured."""
        self._bases: dict[int, torch.Tensor] = {}
        self._themselves: dict[int, torch.Tensor] = {}
        """By identity, tensors that were recorded without a snapshot, and are known to others as they are."""
        self.any_taken = False
        self.places: Places | None = None
        """Knows of what lies here of a tensor which part it is."""
        self.looks_late = False
        """Whether nobody needs to know at once what isn't finite: then several are looked at together."""
        self._waiting: list[TorchValue] = []
        """Values that nobody has looked at yet."""
        self.unseen_bytes = 0
        """Of these."""

    def of(self, tensor: torch.Tensor) -> TorchValue | None:
        """A tensor's value; the same until it is written to. None where there is none.

        It knows if it is finite, but where somebody looks late.
        """
        known = self.known.get(id(tensor))
        if known is not None and known[1] == tensor._version:
            return known[2]
        return self._taken(tensor)

    def value(self, tensor: torch.Tensor) -> TorchValue | None:
        """What is recorded of a snapshot, or of a tensor that has one; None of all else."""
        if (value := self._values.get(id(tensor))) is not None:
            return value
        known = self.known.get(id(tensor))
        return known[2] if known is not None and known[1] == tensor._version else None

    def base(self, snapshot: torch.Tensor) -> torch.Tensor | None:
        """The snapshot of what a tensor was a view of, if it was all of that and in the same form."""
        return self._bases.get(id(snapshot))

    def leave(self, tensor: torch.Tensor) -> None:
        """Take no snapshot of a tensor: what an edit made."""
        self._themselves[id(tensor)] = tensor

    def are_finite(self) -> bool:
        """Whether all values are that nobody had looked at; afterwards each of them knows."""
        waiting, rows = self._waiting, array("q")
        self._waiting, self.unseen_bytes = [], 0
        for value in waiting:
            if (row := floats_in(value.captured)) is not None:
                rows.extend(row)
            elif not value.all_finite():
                return False
        if first_not_finite(rows) != len(rows) // 3:
            return all(value.all_finite() for value in waiting)
        for value in waiting:
            value.finite = True
        return True

    def let_go(self) -> None:
        """No tensor of the model's comes by any more."""
        self.known.clear()

    def forget(self) -> None:
        """Keep no tensor of the model's alive."""
        self.known.clear()
        self._values.clear()
        self._bases.clear()
        self._themselves.clear()
        self._waiting, self.unseen_bytes = [], 0
        self.any_taken = False

    def _taken(self, tensor: torch.Tensor) -> TorchValue | None:
        identity = id(tensor)
        if identity in self._values or identity in self._themselves or not is_readable(tensor):
            return None
        try:
            version = tensor._version
        except RuntimeError:
            # Of inference mode: nobody can tell whether it is written to.
            return None
        captured = self._capture(tensor)
        value = self._store.in_memory(captured)
        if value is None:
            return None
        if self.looks_late:
            self._waiting.append(value)
            self.unseen_bytes += captured.nbytes
        else:
            value.all_finite()
        self.known[identity] = (tensor, version, value)
        self._values[id(captured)] = value
        if self.places is not None:
            self.places.stands_for(captured, tensor)
        self.any_taken = True
        base = tensor._base
        if base is not None and base.shape == tensor.shape and base.stride() == tensor.stride():
            known = self.known.get(id(base))
            if id(base) in self._themselves:
                self._bases[id(captured)] = base
            elif known is not None and known[1] == base._version:
                self._bases[id(captured)] = known[2].captured
        return value
