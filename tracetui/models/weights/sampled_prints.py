"""What a trace keeps of the weights of a model that exists already: single elements, for a fraction of a pass."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple
from weakref import ReferenceType, ref

import torch
from torch import nn

from tracetui.models.module_tree import KnownModel
from tracetui.native.library import address_of
from tracetui.native.samples import taker
from tracetui.recording.weight_prints import SAMPLED, WeightPrint, sampled_places


class _WeightSample(NamedTuple):
    """Of one weight."""

    shape: torch.Size
    dtype: torch.dtype
    start: int
    """Where its elements begin among the bytes of all that were taken together."""
    alone: torch.Tensor | None = None
    """The elements of one that was asked by itself."""


class SampledPrints(Mapping[str, WeightPrint]):
    """The elements are taken at once, as a program may change its weights; they become numbers when somebody looks."""

    def __init__(
        self,
        samples: Mapping[str, _WeightSample],
        together: bytearray,
        again: Callable[[], bytearray | None] = lambda: None,
    ) -> None:
        """together: the bytes of all elements that were taken together. again: those of the same as they are now."""
        self._samples, self._together, self._again = samples, together, again
        self._made: dict[str, WeightPrint] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples)

    def are_same(self) -> bool:
        """Whether all these elements are now what they were; False where nobody can tell."""
        return self._again() == self._together

    def __getitem__(self, name: str) -> WeightPrint:
        if name not in self._made:
            if not self._made:
                self._samples = _at_hand(self._samples)
            shape, dtype, start, sample = self._samples[name]
            if sample is None:
                end = start + min(SAMPLED, shape.numel()) * dtype.itemsize
                sample = torch.frombuffer(self._together[start:end], dtype=dtype)
            kind = str(dtype).removeprefix("torch.")
            self._made[name] = WeightPrint(tuple(shape), kind, "", "", tuple(sample.float().tolist()))
        return self._made[name]


def sampled_prints(known: KnownModel) -> SampledPrints:
    """A sample of each floating-point parameter of a model, by its path, as it is now.

    Parameters of subclasses of Tensor (sharded, quantised) are left out: what an element of theirs is they alone know.
    """
    together = known.once(_Together)
    taken = together.taken()
    if taken is not None:
        return SampledPrints(together.samples, taken, together.taken)
    samples: dict[str, _WeightSample] = {}
    modules = known.modules
    for name, path, own in _parameters(modules):
        weight = modules[path]._parameters[own]
        # Whatever the device has no kernel for isn't remembered.
        with suppress(RuntimeError, NotImplementedError):
            if weight is not None and _is_plain(weight):
                alone = weight.detach().take(_places(weight.numel(), weight.device))
                samples[name] = _WeightSample(weight.shape, weight.dtype, 0, alone)
    return SampledPrints(samples, bytearray())


def _at_hand(samples: Mapping[str, _WeightSample]) -> dict[str, _WeightSample]:
    """The same in the processor's memory: those of one device and dtype by one copy."""
    kinds: dict[object, list[tuple[str, torch.Tensor]]] = {}
    for name, sample in samples.items():
        if sample.alone is not None and not sample.alone.is_cpu:
            kinds.setdefault((sample.alone.device, sample.dtype), []).append((name, sample.alone))
    near = dict(samples)
    for alike in kinds.values():
        parts = torch.cat([each for _, each in alike]).cpu().split([len(each) for _, each in alike])  # type: ignore[no-untyped-call]
        near.update({name: near[name]._replace(alone=part) for (name, _), part in zip(alike, parts, strict=True)})
    return near


class _Together:
    """The weights of a model that stays as it is built, all of whose samples compiled code takes in one call."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.samples: dict[str, _WeightSample] = {}
        self._rows, self._bytes = array("q"), 0
        self._weights: list[tuple[ReferenceType[torch.Tensor], torch.dtype]] = []
        self._places: list[torch.Tensor] = []
        """Kept for as long as their addresses are."""
        self._are_all = taker() is not None
        for name, path, own in _parameters(modules):
            weight = modules[path]._parameters[own]
            if weight is not None and _is_plain(weight):
                self._add(name, weight)

    def _add(self, name: str, weight: torch.Tensor) -> None:
        self._are_all = self._are_all and _lies_in_a_row(weight)
        places = _places(weight.numel(), torch.device("cpu"))
        self._places.append(places)
        self._weights.append((ref(weight), weight.dtype))
        self.samples[name] = _WeightSample(weight.shape, weight.dtype, self._bytes)
        self._rows.extend((0, weight.itemsize, places.const_data_ptr(), len(places)))  # type: ignore[attr-defined]
        self._bytes += weight.itemsize * len(places)

    def taken(self) -> bytearray | None:
        """The elements of all as they are now; None where they have to be asked for one by one."""
        take, rows = taker(), self._rows[:]
        if take is None or not self._are_all:
            return None
        for place, (living, dtype) in enumerate(self._weights):
            weight = living()
            # Asked here, as of each weight of a model nothing takes long.
            if weight is None or weight.dtype is not dtype:
                return None
            if not weight.is_cpu or not weight.is_contiguous() or weight.is_neg():
                return None
            # The address to be read by: for one to be written to torch would copy what a record shares.
            rows[4 * place] = weight.const_data_ptr()  # type: ignore[attr-defined]
        elements = bytearray(self._bytes)
        take(rows.buffer_info()[0], len(self._weights), address_of(elements))
        return elements


def _lies_in_a_row(weight: torch.Tensor) -> bool:
    """Whether the elements lie in this machine's memory in their order."""
    return weight.is_cpu and weight.is_contiguous() and not weight.is_neg()


def _parameters(modules: Mapping[str, nn.Module]) -> list[tuple[str, str, str]]:
    """Each parameter once: its name, its module's path, and what it is called there."""
    seen: dict[int, tuple[str, str, str]] = {}
    for path, module in modules.items():
        for own, weight in module._parameters.items():
            if weight is not None:
                seen.setdefault(id(weight), (f"{path}.{own}" if path else own, path, own))
    return list(seen.values())


def _is_plain(weight: torch.Tensor) -> bool:
    return (
        type(weight) in (nn.Parameter, torch.Tensor)
        and weight.is_floating_point()
        and weight.layout is torch.strided
        and not weight.is_meta
        and weight.numel() > 0
    )


@lru_cache(maxsize=256)
def _places(numel: int, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(sampled_places(numel)).to(device)
