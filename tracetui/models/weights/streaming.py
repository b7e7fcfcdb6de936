"""Weights that exist only while their module runs, as far as memory asks for it.

Between runs a placeholder stands in a parameter's slot. It must not be a meta tensor: torch's CPU kernels read a meta
argument as uninitialised memory without an error. Who reads a weight while its module doesn't run is lent it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from tracetui.errors import RunError
from tracetui.models.devices.chosen import CPU
from tracetui.models.devices.memory import free_bytes
from tracetui.models.devices.uploads import UploadedSource
from tracetui.models.weights.experts import ExpertStore, ExpertWeights, made_rows
from tracetui.models.weights.memory import REUSED, ReusedMemory
from tracetui.models.weights.read_elsewhere import read_elsewhere
from tracetui.models.weights.residents import choose_resident, nbytes_of, per_expert, put_whole, reads_rows
from tracetui.models.weights.slots import Slot, find_slots
from tracetui.models.weights.sources import WeightSource
from tracetui.text import size

_LARGE = 2**26
"""Bytes from which a loan is made only if the memory is there."""
Making = Callable[[str, int, int], None]
"""Called with (checkpoint name, bytes done, bytes in all) while a tensor is made; may raise Cancelled."""


@dataclass(frozen=True, eq=False, slots=True)
class Reader:
    """Who runs the model now."""

    making: Making
    depth: Callable[[], int]
    """How many modules have begun and not ended."""
    spent: Callable[[float], None]
    """Told of the seconds that a loan took."""


_NOBODY = Reader(lambda name, done, total: None, lambda: 0, lambda seconds: None)


@dataclass(frozen=True, eq=False, slots=True)
class _Loan:
    """A weight that stands in its slot because something read it while its module didn't run."""

    module: nn.Module
    slot: Slot
    depth: int
    """Of the module that read it: there until this one ends."""


class Weights:
    """Puts a module's parameters in place before it runs and takes them out after.

    What fits the budget stays in place for the next run, in the order of the model: layers run in that
    order every time, so that putting out old ones for new ones would only make all of them again.
    """

    def __init__(
        self, model: nn.Module, dtype: torch.dtype, source: WeightSource, budget: int, device: torch.device = CPU
    ) -> None:
        """device: where they are put."""
        self.source = source
        """What weights are read from, by the processor."""
        self.device = device
        self._source = source if device == CPU else UploadedSource(source, device)
        self._slots = dict(find_slots(model, dtype, self._source, self, device))
        self._whole = {module: own for module, slots in self._slots.items() if (own := put_whole(module, slots))}
        self._resident, left = choose_resident(self._whole, budget)
        self._memory = ReusedMemory()
        self._experts = ExpertStore(per_expert(self._slots), self._source, left, self._memory)
        self._owners: dict[str, list[tuple[nn.Module, Slot]]] = defaultdict(list)
        for module, slot in self.all_slots():
            self._owners[slot.spec.name].append((module, slot))
        self._read_elsewhere = {module: names for module in model.modules() if (names := self._read_by(module))}
        self._rows: dict[nn.Module, tuple[list[int], torch.Tensor]] = {}
        self._reader = _NOBODY
        self._most_lent = 0
        self.loans: list[_Loan] = []
        self.clear()

    @property
    def all_stay(self) -> bool:
        """Whether what is made for a module stays in place, so that it matters to nobody when that has ended."""
        return all(module in self._resident or reads_rows(module) for module in self._whole)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the weights that stay between runs once they are made."""
        return sum(nbytes_of(self._whole[module]) for module in self._resident)

    @property
    def largest_bytes(self) -> int:
        """Bytes of the largest tensor, or rows of one, that are made at one time."""
        whole = (slot.spec.nbytes() for module, own in self._whole.items() if not reads_rows(module) for slot in own)
        return max((self._experts.largest_bytes, *whole))

    @property
    def present_bytes(self) -> int:
        """Bytes of what is in place now and stays there."""
        kept = ((module, slot) for module, slot in self.all_slots() if module in self._resident)
        there = (slot.spec.nbytes() for module, slot in kept if slot.look(module) is not slot.placeholder)
        return sum(there) + self._experts.kept_bytes

    def kept_experts_bytes(self, choices: int) -> int:
        """Bytes of the experts that stay at most once each layer has made that many choices."""
        return self._experts.bytes_after(choices)

    @property
    def largest_passing_bytes(self) -> int:
        """Bytes of the most weights that don't stay and are there at once: a module's or an expert's, and what is lent.

        What will be lent is estimated from the code of the classes until a run has shown it. Of tables only the rows
        that are looked up are made; they are left out.
        """
        passing = {m: nbytes_of(slots) for m, slots in self._whole.items() if m not in self._resident}
        together = {m: 0 if reads_rows(m) else size for m, size in passing.items()}
        for parent, names in self._read_elsewhere.items():
            owners = (self._owners[name][0] for name in names)
            lent = sum(slot.spec.nbytes() for owner, slot in owners if owner in passing)
            together.update({module: together.get(module, 0) + lent for module in parent.modules()})
        return max((self._experts.largest_bytes, self._most_lent, *together.values()))

    @property
    def reused_bytes(self) -> int:
        """Bytes of weights' memory that waits for the next weights at most."""
        passing = (
            own for module, own in self._whole.items() if module not in self._resident and not reads_rows(module)
        )
        sizes = (slot.spec.nbytes() for slots in passing for slot in slots)
        return max((size for size in sizes if size <= REUSED), default=0)

    def all_slots(self) -> Iterator[tuple[nn.Module, Slot]]:
        """Every slot with its module, in the order of the model."""
        for module, slots in self._slots.items():
            for slot in slots:
                yield module, slot

    def of(self, module: nn.Module) -> tuple[Slot, ...]:
        """A module's own slots; empty if it has no parameters."""
        return self._slots.get(module, ())

    def needed_by(self, module: nn.Module) -> bool:
        """Whether a module needs anything put in place before it runs."""
        return module in self._whole and not reads_rows(module)

    def makes_experts(self, module: nn.Module) -> bool:
        """Whether the experts of a module are made one by one, each when it is hit."""
        return module in self._experts

    def lacks(self, module: nn.Module) -> bool:
        """Whether any of a module's parameters isn't there."""
        return any(slot.look(module) is slot.placeholder for slot in self._whole.get(module, ()))

    def are_placed(self, modules: Iterable[nn.Module]) -> bool:
        """Whether nothing has to be put in place before any of these modules runs."""
        return not any(self.lacks(module) for module in modules if self.needed_by(module))

    def of_expert(self, module: nn.Module, expert: int, making: Making) -> ExpertWeights | None:
        """One expert's parameters; None for a module whose experts aren't made one by one."""
        return self._experts.read(module, expert, making) if module in self._experts else None

    def provenance(self, module: nn.Module, expert: int | None = None) -> str:
        """Where a module's own parameters, or those of one of its experts, come from, joined by `+`."""
        if expert is not None and module in self._experts:
            return self._experts.provenance(module, expert)
        return "+".join(sorted({slot.provenance for slot in self.of(module)}))

    def put_in(self, module: nn.Module, making: Making) -> None:
        """Make a module's parameters, as far as they aren't there, and put them in place."""
        slots = self._whole.get(module, ())
        with nullcontext() if module in self._resident or not slots else self._memory.used():
            for slot in slots:
                if slot.look(module) is slot.placeholder:
                    slot.fill(module, made_rows(self._source, slot.spec, None, making))

    def present(self, module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
        """A module's own parameters by their names, as far as they are in place now; of a table the rows looked up."""
        blank = {slot.parameter: slot.placeholder for slot in self.of(module)}
        for name, parameter in module.named_parameters(recurse=False):
            if parameter is not blank.get(name):
                yield name, parameter
            elif module in self._rows:
                yield name, self._rows[module][1]

    def row(self, module: nn.Module, place: int) -> int:
        """The row of a table at an index among those rows of it that are in memory."""
        return self._rows[module][0][place] if module in self._rows else place

    def take_out(self, module: nn.Module) -> None:
        """Drop a module's parameters, unless they may stay."""
        if module not in self._resident:
            for slot in self._slots.get(module, ()):
                slot.fill(module, slot.placeholder)

    def ended(self, module: nn.Module, depth: int) -> None:
        """A module has run, and `depth` others are still running: drop what it had."""
        self.take_out(module)
        if self.loans:
            self.take_back(depth)

    @contextmanager
    def lending(self, reader: Reader) -> Iterator[None]:
        """For the length of a `with`, what is lent stays until the module that reads it ends."""
        self._reader = reader
        try:
            yield
        finally:
            self._reader = _NOBODY
            self._rows.clear()
            self.take_back(0)
            self._memory.release()

    def lend(self, name: str) -> torch.Tensor:
        """A weight that something reads while its module doesn't run. Raises RunError if there is no memory for it."""
        module, slot = self._owners[name][0]
        for owner, own in self._owners[name]:
            if (there := own.look(owner)) is not own.placeholder and there is not None:
                return there
        if slot.spec.nbytes() > max(_LARGE, free_bytes(self.device) if slot.spec.nbytes() > _LARGE else 0):
            raise RunError(
                f"{name}: is read outside of its module and takes {size(slot.spec.nbytes())}, more than is available"
            )
        began = time.perf_counter()
        made = slot.held(made_rows(self._source, slot.spec, None, self._reader.making))
        self._reader.spent(time.perf_counter() - began)
        if depth := self._reader.depth():
            slot.fill(module, made)
            if module not in self._resident:
                self.loans.append(_Loan(module, slot, depth))
                self._most_lent = max(self._most_lent, sum(loan.slot.spec.nbytes() for loan in self.loans))
        return made

    def lend_rows(self, name: str, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows [n,D] of a weight that whole numbers [...] name, and where among these each of them lies [...]."""
        module, slot = self._owners[name][0]
        spec = slot.spec
        wanted, places = torch.unique(rows.cpu(), return_inverse=True)  # [n] [...]
        each = wanted.tolist()
        if each and not 0 <= each[0] <= each[-1] < spec.rows:
            raise IndexError(f"{name}: index out of range: {each[0]} to {each[-1]} of {spec.rows} rows")
        began = time.perf_counter()
        made = made_rows(self._source, spec, each, self._reader.making)  # [n,D]
        self._reader.spent(time.perf_counter() - began)
        if self._reader.depth():
            self._rows[module] = each, made
        return made, places.to(made.device)

    def take_back(self, depth: int) -> None:
        """Drop what was lent to modules that have ended: those that began when more than `depth` were running."""
        while self.loans and self.loans[-1].depth > depth:
            loan = self.loans.pop()
            loan.slot.fill(loan.module, loan.slot.placeholder)

    @contextmanager
    def read_anew(self, names: Iterable[str]) -> Iterator[None]:
        """These weights are read when they are needed in this `with`, and stand after it as they did before."""
        places = [(module, slot) for name in names for module, slot in self._owners[name]]
        held = [(module, slot, slot.look(module)) for module, slot in places]
        for module, slot in places:
            slot.fill(module, slot.placeholder)
        try:
            with self._experts.read_anew({module for module, _ in places}):
                yield
        finally:
            for module, slot, there in held:
                slot.fill(module, slot.placeholder if there is None else there)

    def clear(self) -> None:
        """Drop everything that is in place."""
        self._experts.clear()
        self._memory.release()
        self.loans.clear()
        for module, slot in self.all_slots():
            slot.fill(module, slot.placeholder)

    def _read_by(self, module: nn.Module) -> tuple[str, ...]:
        """The names of the weights that a module reads of others, as far as its code tells."""
        reads = ((slot, name) for owner, name in read_elsewhere(module) for slot in self.of(owner))
        return tuple(dict.fromkeys(slot.spec.name for slot, name in reads if name in ("", slot.parameter)))
