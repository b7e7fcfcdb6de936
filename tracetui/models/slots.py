"""Weights that exist only while their module runs, as far as memory asks for it.

Between runs a parameter's slot holds one NaN expanded to the parameter's shape. It must not be a meta tensor:
torch's CPU kernels read a meta argument as uninitialised memory without an error, while a NaN used by
mistake shows.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from tracetui.models.experts import ExpertStore, ExpertWeights, is_per_expert, made_rows, runs_singly
from tracetui.models.latent import PROJECTION, expansion_of
from tracetui.models.precision import kept_dtypes
from tracetui.models.sources import Init, TensorSpec, WeightSource

_WEIGHT_READ = re.compile(r"\bself\.(\w+)\.(?:weight|bias)\b(?!\.(?:dtype|device|data)\b)")
Making = Callable[[str, int, int], None]
"""Called with (checkpoint name, bytes done, bytes in all) while a tensor is made; may raise Cancelled."""


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
        elif isinstance(value, nn.Parameter):
            module._parameters[self.parameter] = value
        else:
            module._parameters[self.parameter] = nn.Parameter(value, requires_grad=self.placeholder.requires_grad)


class Weights:
    """Puts a module's parameters in place before it runs and takes them out after.

    What fits the budget stays in place for the next run, in the order of the model: layers run in that
    order every time, so that putting out old ones for new ones would only make all of them again.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype, source: WeightSource, budget: int) -> None:
        self._source = source
        self._slots = dict(_find_slots(model, dtype, source))
        self._whole = {module: own for module, slots in self._slots.items() if (own := _put_whole(module, slots))}
        self._resident, left = _choose_resident(self._whole, budget)
        self._experts = ExpertStore(_per_expert(self._slots), source, left)
        self._read_inside = {module: found for module in model.modules() if (found := _read_inside(module))}
        self._rows: dict[nn.Module, list[int]] = {}
        self._kept_by_parent = frozenset(child for found in self._read_inside.values() for child in found)
        self.clear()

    @property
    def kept_bytes(self) -> int:
        """Bytes of the weights that stay between runs once they are made."""
        return sum(_nbytes(self._whole[module]) for module in self._resident)

    def kept_experts_bytes(self, choices: int) -> int:
        """Bytes of the experts that stay at most once each layer has made that many choices."""
        return self._experts.bytes_after(choices)

    @property
    def largest_passing_bytes(self) -> int:
        """Bytes of the most weights that don't stay and are there at once: a module's or an expert's, and its parents'.

        Embeddings are left out, of which the prompt's rows alone are made.
        """
        passing = {m: _nbytes(slots) for m, slots in self._whole.items() if m not in self._resident}
        together = {m: 0 if reads_rows(m) or m in self._kept_by_parent else size for m, size in passing.items()}
        for parent, children in self._read_inside.items():
            held = sum(passing.get(child, 0) for child in children)
            together.update({module: together.get(module, 0) + held for module in parent.modules()})
        return max((self._experts.largest_bytes, *together.values()))

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
        return module in self._whole or module in self._read_inside

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
        for owner in (module, *self._read_inside.get(module, ())):
            for slot in self._put_of(owner):
                if slot.look(owner) is slot.placeholder:
                    slot.fill(owner, made_rows(self._source, slot.spec, None, making))

    def put_rows(self, embedding: nn.Embedding, ids: torch.Tensor, making: Making) -> torch.Tensor:
        """Make only the rows of an embedding that `ids` [B,T] name; returns [B,T], where each lies among these."""
        wanted = sorted(set(ids.flatten().tolist()))
        for slot in self.of(embedding):
            slot.fill(embedding, made_rows(self._source, slot.spec, wanted, making))
        self._rows[embedding] = wanted
        return torch.searchsorted(torch.tensor(wanted, device=ids.device), ids)  # [B,T]

    def present(self, module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
        """A module's own parameters by their names, as far as they are in place now."""
        blank = {slot.parameter: slot.placeholder for slot in self.of(module)}
        for name, parameter in module.named_parameters(recurse=False):
            if parameter is not blank.get(name):
                yield name, parameter

    def row(self, module: nn.Module, place: int) -> int:
        """Which row of a table stands at a place of what is there of it."""
        return self._rows[module][place] if module in self._rows else place

    def take_out(self, module: nn.Module) -> None:
        """Drop a module's parameters, unless they may stay; what its parent reads too, the parent drops."""
        own = () if module in self._kept_by_parent else (module,)
        for owner in (*own, *self._read_inside.get(module, ())):
            if owner not in self._resident:
                for slot in self._put_of(owner):
                    slot.fill(owner, slot.placeholder)

    def clear(self) -> None:
        """Drop everything that is in place."""
        self._experts.clear()
        for module, slot in self.all_slots():
            slot.fill(module, slot.placeholder)

    def _put_of(self, module: nn.Module) -> tuple[Slot, ...]:
        """The slots of a module that are filled as a whole."""
        return self._whole.get(module, ())


def _nbytes(slots: Sequence[Slot]) -> int:
    return sum(slot.spec.nbytes() for slot in slots)


def reads_rows(module: nn.Module) -> bool:
    """Whether a module is a table of which the rows that its argument names are enough.

    Tables of positions are not: some count the rows from an argument of another kind, or with an offset.
    """
    if not isinstance(module, nn.Embedding) or "Position" in type(module).__name__:
        return False
    return next(iter(inspect.signature(module.forward).parameters)) in ("input", "input_ids")


def _read_inside(module: nn.Module) -> tuple[nn.Module, ...]:
    """The children whose weights are read while their parent runs, and not by their own forward alone.

    A state-space block reads its convolution's itself; of latent attention the watch reads what expands the latent.
    """
    if hasattr(module, "base_model_prefix"):
        # A whole model names its head and embeddings in passing.
        return ()
    kind: Any = type(module)
    names = _names_read_inside(kind) | ({PROJECTION} if expansion_of(module) else set())
    return tuple(child for name, child in module.named_children() if name in names)


@cache
def _names_read_inside(kind: type[nn.Module]) -> frozenset[str]:
    """The children of which a class takes the weight or bias: their own forward may never run."""
    if kind.__module__.startswith("torch."):
        return frozenset()
    try:
        return frozenset(_WEIGHT_READ.findall(inspect.getsource(kind)))
    except OSError:
        return frozenset()


def _put_whole(module: nn.Module, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    if not runs_singly(module):
        return slots
    return tuple(slot for slot in slots if not is_per_expert(module, slot.spec))


def _per_expert(slots: dict[nn.Module, tuple[Slot, ...]]) -> dict[nn.Module, dict[str, TensorSpec]]:
    return {
        module: {slot.parameter: slot.spec for slot in own if is_per_expert(module, slot.spec)}
        for module, own in slots.items()
        if runs_singly(module)
    }


def _choose_resident(slots: dict[nn.Module, tuple[Slot, ...]], budget: int) -> tuple[frozenset[nn.Module], int]:
    """The modules whose weights stay, and what is left of the budget."""
    resident = set()
    for module, own in slots.items():
        size = _nbytes(own)
        if size <= budget and not reads_rows(module):
            resident.add(module)
            budget -= size
    return frozenset(resident), budget


def _find_slots(
    model: nn.Module, dtype: torch.dtype, source: WeightSource
) -> Iterator[tuple[nn.Module, tuple[Slot, ...]]]:
    names: dict[nn.Parameter, str] = {}
    placeholders: dict[str, nn.Parameter] = {}
    kept = kept_dtypes(model, dtype)
    for path, module in model.named_modules():
        found = []
        for parameter, tensor in module._parameters.items():
            if tensor is None:
                continue
            # A tied tensor is one Parameter in two places, and stays one: it keeps the first place's name.
            name = names.setdefault(tensor, f"{path}.{parameter}" if path else parameter)
            spec = TensorSpec(name, tuple(tensor.shape), kept(name, tensor), _init_of(module, parameter))
            # Whether it requires a gradient decides by which kernel torch multiplies with it, even where none is taken.
            blank = nn.Parameter(_placeholder(spec), requires_grad=tensor.requires_grad)
            placeholder = placeholders.setdefault(name, blank)
            found.append(Slot(parameter, spec, source.provenance(spec) or "", placeholder))
        for buffer, tensor in _stored_buffers(module):
            name = f"{path}.{buffer}" if path else buffer
            spec = TensorSpec(name, tuple(tensor.shape), kept(name, tensor), _init_of(module, buffer))
            provenance = source.provenance(spec)
            if spec.dtype.is_floating_point:
                found.append(Slot(buffer, spec, provenance or "", _placeholder(spec), is_buffer=True))
            elif provenance is not None:
                # Small, and no number of theirs would show that a placeholder was used by mistake: it stays in place.
                module._buffers[buffer] = source.read(spec, None, lambda made: None)
        if found:
            yield module, tuple(found)


def _stored_buffers(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Buffers that a checkpoint holds, as of a router's selection bias."""
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield name, buffer


def _init_of(module: nn.Module, parameter: str) -> Init:
    if parameter in SELECTION_BIASES:
        # Zero, it would choose nobody, and show nothing.
        return Init.NORMAL
    if parameter.endswith("bias"):
        return Init.ZEROS
    return Init.ONES if "Norm" in type(module).__name__ else Init.NORMAL


def _placeholder(spec: TensorSpec) -> torch.Tensor:
    return torch.full((), math.nan, dtype=spec.dtype).expand(spec.shape)
