"""Tensors of one pass as they were when they passed by: one snapshot of each, until somebody writes to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from tracetui.tracer.capture.alias import capture_function, is_all_on_the_processor, sharing_function
from tracetui.tracer.capture.finite_look import FiniteLook
from tracetui.tracer.capture.readable import is_readable, stands_for_many
from tracetui.tracer.capture.store import ValueStore
from tracetui.tracer.capture.unwritten import address_of, holds
from tracetui.tracer.capture.values import TorchValue, completed
from tracetui.tracer.ranks.places import Places

LOOKED_AT = 2**20
"""Bytes that are looked at for NaN in one call: so few that they are in the processor's cache still."""
_LITTLE = 2**26
"""Bytes of snapshots beside which as much of the model's own may stay."""
NONE = -1
"""The number of a tensor of which there is no snapshot."""


Shelved = tuple[Any, ...]
"""The snapshots of a pass, put away: what `Snapshots` has of it, in the order of `shelved`."""


class Snapshots:
    """Values of what is described later, where what they captured stands for it. Used by the model's thread alone.

    A snapshot shares the memory of its tensor, which is kept until `forget`, so that no other takes its identity.

    Between two kernels of the model nothing is in the processor's caches, code least of all: there no more is done than
    must be, and what else belongs to a snapshot is made for all of them when somebody asks.
    """

    def __init__(self, store: ValueStore) -> None:
        self._store = store
        self._capture, self._share = capture_function(), sharing_function()
        self.known: dict[int, int] = {}
        """The numbers of tensors, by their identity."""
        self._tensors: list[torch.Tensor] = []
        """By their numbers; that of a tensor written to since is another."""
        self.versions: list[int] = []
        """And which of their versions it was."""
        self.addresses: list[int] = []
        """And where it lay: a write that its version tells nothing of moves it."""
        self._captured: list[torch.Tensor] = []
        """By their numbers, which are given in order."""
        self._values: list[TorchValue] = []
        """The same; those of the newest are made when somebody asks."""
        self._all_near = is_all_on_the_processor()
        """Whether no tensor lies anywhere else."""
        self.are_odd = False
        """Whether any of them are of a kind whose numbers can't be read."""
        self._numbers: dict[int, int] = {}
        """By the identity of what they captured; those of the newest are added when somebody asks."""
        self.bases: dict[int, int] = {}
        """By its number, that of what a tensor is a view of, if it is all of that and in the same form."""
        self.themselves: dict[int, torch.Tensor] = {}
        """By identity, tensors that were recorded without a snapshot, and are known to others as they are."""
        self.places: Places | None = None
        """Knows of what lies here of a tensor which part it is."""
        self._views: dict[int, torch.Tensor] = {}
        """By its number, the one of these that a tensor is a view of."""
        self._looks_late = False
        self._holds: Callable[[], bool] = lambda: True
        self.finite_look = FiniteLook()
        self.not_finite = self.finite_look.not_finite
        """The numbers of values in which something isn't finite."""
        self.unseen_bytes = 0
        """Of the values that nobody has looked at yet."""

    @property
    def values(self) -> list[TorchValue]:
        """By their numbers."""
        if len(self._values) < len(self._captured):
            self._make_values()
        return self._values

    def has_made(self, count: int) -> bool:
        """Whether the values of the first so many are made already."""
        return len(self._values) >= count

    @property
    def captured(self) -> Sequence[torch.Tensor]:
        """By their numbers, what was captured; it may need gradients still."""
        return self._captured

    def values_later(self) -> Callable[[], Sequence[TorchValue]]:
        """Gives the values of all that there are now, which are made when somebody asks."""
        if self._store.copies.held:
            values = self.values
            return lambda: values
        return partial(completed, self._captured, self._values, self.finite_look.finite_until)

    def at_hand_of(self, number: int) -> torch.Tensor:
        """What was captured, where it can be looked at without waiting for a device."""
        captured = self._captured[number]
        if captured.is_cpu and not captured.requires_grad:
            return captured
        return self.values[number].at_hand

    def look(self, late: bool, holds: Callable[[], bool]) -> None:
        """late: nobody needs to know at once what isn't finite, so that several may be looked at together.

        holds: whether anybody would wait there; asked where looking means to wait for a device.
        """
        self._looks_late, self._holds = late, holds

    def number(self, tensor: torch.Tensor) -> int:
        """The number of a tensor's value, the same until it is written to; NONE where there is none."""
        if id(tensor) in self.known and (number := self._known(tensor)) != NONE:
            return number
        return self._taken(tensor)

    def _known(self, tensor: torch.Tensor) -> int:
        """The number of a tensor that came by before and was not written to since; NONE of all else."""
        number = self.known.get(id(tensor), NONE)
        if number == NONE or self.versions[number] != tensor._version:
            return NONE
        if self.addresses[number] != address_of(tensor):
            if not holds(tensor, self.values[number]):
                return NONE
            self.addresses[number] = address_of(tensor)
        return number

    def are_sound(self, numbers: Sequence[int]) -> bool:
        """Whether there are snapshots of all, and nothing in them is known to be NaN or infinite."""
        return NONE not in numbers and (not self.not_finite or self.not_finite.isdisjoint(numbers))

    def instead(self, numbers: Sequence[int], tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What stands for tensors with these numbers until they are described: their snapshots, or themselves."""
        pairs, values = zip(numbers, tensors, strict=True), self.values
        return [tensor if number == NONE else values[number].captured for number, tensor in pairs]

    def value(self, tensor: torch.Tensor) -> TorchValue | None:
        """What is recorded of a snapshot, or of a tensor that has one; None of all else."""
        number = self.number_of(tensor)
        if number == NONE and (number := self._known(tensor)) == NONE:
            return None
        return self.values[number]

    def number_of(self, snapshot: torch.Tensor) -> int:
        """The number of what a snapshot stands for; NONE of all else."""
        numbers = self._numbers
        for value in self.values[len(numbers) :]:
            numbers[id(value.captured)] = len(numbers)
        return numbers.get(id(snapshot), NONE)

    def base(self, snapshot: torch.Tensor) -> torch.Tensor | None:
        """The snapshot of what a tensor was a view of, if it was all of that and in the same form."""
        number = self.number_of(snapshot)
        base = self.bases.get(number)
        return self._views.get(number) if base is None else self.values[base].captured

    def leave(self, tensor: torch.Tensor) -> None:
        """Take no snapshot of a tensor: what an edit made."""
        self.themselves[id(tensor)] = tensor

    def are_finite(self) -> bool:
        """Whether all values are; afterwards each of them knows. Those of a device are waited for."""
        self._store.copies.finish()
        self.unseen_bytes = 0
        return self.finite_look.are_finite(self)

    @property
    def are_on_a_device(self) -> bool:
        """Whether any of them is of a tensor that isn't in the processor's memory."""
        return self._store.copies.held

    def let_go(self) -> None:
        """No tensor of the model's comes by any more, and nothing of it is described yet."""
        self._store.copies.let_go()
        self.known.clear()
        if self.unseen_bytes < _LITTLE:
            return
        # Of the others nothing is kept that the snapshots don't share. To free them all takes as long as a few layers.
        kept = zip(self._tensors, self.versions, strict=True)
        self._tensors = [tensor for tensor, version in kept if tensor._version == version]

    def shelved(self) -> Shelved:
        """Put all away, until it is taken up again."""
        look = self.finite_look.looked_at, self.finite_look.finite_until, self.not_finite.copy()
        asked = self.known.copy(), self.versions.copy(), self.addresses.copy()
        lists = self._tensors, self._captured, self._values
        kept = (asked, look, *lists, self._numbers, self.bases, self._views, self.are_odd, self.unseen_bytes)
        self._tensors, self._numbers, self.bases, self._views = [], {}, {}, {}
        self.forget()
        return kept

    def take_up(self, shelved: Shelved) -> None:
        """Have them here again, where there are no others."""
        (known, versions, addresses), look, self._tensors, self._captured, self._values, *more = shelved
        self._numbers, self.bases, self._views, self.are_odd, self.unseen_bytes = more
        self.finite_look.looked_at, self.finite_look.finite_until, not_finite = look
        self.not_finite.update(not_finite)
        self.known.update(known)
        self.versions[:], self.addresses[:] = versions, addresses

    def forget(self) -> None:
        """Keep no tensor of the model's alive."""
        self.known.clear()
        self._captured, self._values, self.are_odd = [], [], False
        self._tensors.clear()
        self.versions.clear()
        self.addresses.clear()
        for held in (self._numbers, self.bases, self.themselves, self._views):
            held.clear()
        self.finite_look.forget()
        self.unseen_bytes = 0

    def _taken(self, tensor: torch.Tensor) -> int:
        identity = id(tensor)
        if identity in self._numbers or identity in self.themselves:
            return NONE
        if not self._all_near or type(tensor) is not torch.Tensor or self.places is not None:
            return self._taken_anywhere(tensor)
        if stands_for_many(tensor):
            return NONE
        try:
            version, address, captured = tensor._version, address_of(tensor), self._share(tensor)
            size = captured.nbytes
        except RuntimeError:
            return self._taken_anywhere(tensor)
        if size > self._store.left and not self._store.may_hold_more(size):
            return NONE
        self._store.left -= size
        number = self._numbered(tensor, captured, version, address)
        self.unseen_bytes += size
        if not self._looks_late:
            self._look_now(number)
        return number

    def _taken_anywhere(self, tensor: torch.Tensor) -> int:
        """The same of a tensor that may lie on a device, or be of any kind."""
        if not is_readable(tensor):
            return NONE
        try:
            version = tensor._version
        except RuntimeError:
            # Of inference mode: nobody can tell whether it is written to.
            return NONE
        if not tensor.is_cpu and not self._store.copies.hold():
            return NONE
        captured = self._capture(tensor)
        size = captured.nbytes
        if not self._store.takes(size):
            return NONE
        number, late = self._numbered(tensor, captured, version, address_of(tensor)), self._looks_late
        if captured.is_cpu:
            self.unseen_bytes += size
        else:
            # Looked at on its way to the processor's memory, where it is sent at once.
            self._make_values()
            late = late or not self._holds()
        if not late:
            self._look_now(number)
        if self.places is not None:
            self.places.stands_for(captured, tensor)
        return number

    def _numbered(self, tensor: torch.Tensor, captured: torch.Tensor, version: int, address: int) -> int:
        number = len(self._captured)
        self._captured.append(captured)
        self._tensors.append(tensor)
        self.versions.append(version)
        self.addresses.append(address)
        self.known[id(tensor)] = number
        base = tensor._base
        if base is not None and base.shape == tensor.shape and base.stride() == tensor.stride():
            self._is_view(number, base)
        return number

    def _make_values(self) -> None:
        completed(self._captured, self._values, self.finite_look.finite_until)
        for captured in self._captured[len(self._values) :]:
            plain = captured.detach() if captured.requires_grad else captured
            if not is_readable(plain):
                # Never recorded, and not to be looked at.
                self._values.append(TorchValue(plain))
                self._values[-1].finite = self.are_odd = True
            elif plain.is_cpu:
                self._values.append(TorchValue(plain))
            else:
                self._values.append(self._store.copies.value(plain))

    def _look_now(self, number: int) -> None:
        self.finite_look.looked_at, self.unseen_bytes = number + 1, 0
        if not self.values[number].all_finite():
            self.not_finite.add(number)

    def _is_view(self, number: int, base: torch.Tensor) -> None:
        if id(base) in self.themselves:
            self._views[number] = base
        elif (known := self._known(base)) != NONE:
            self.bases[number] = known
