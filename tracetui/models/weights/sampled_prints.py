"""What a trace keeps of the weights of a model that exists already: single elements, for a fraction of a pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache

import torch
from torch import nn

from tracetui.models.module_tree import KnownModel
from tracetui.recording.weight_prints import WeightPrint, sampled_places


class SampledPrints(Mapping[str, WeightPrint]):
    """The elements are taken at once, as a program may change its weights; they become numbers when somebody looks."""

    def __init__(self, taken: Mapping[str, tuple[torch.Tensor, torch.Size]]) -> None:
        """taken: of each weight its sample, in its own dtype, and its shape."""
        self._taken = taken
        self._made: dict[str, WeightPrint] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def __iter__(self) -> Iterator[str]:
        return iter(self._taken)

    def __getitem__(self, name: str) -> WeightPrint:
        if name not in self._made:
            sample, shape = self._taken[name]
            dtype = str(sample.dtype).removeprefix("torch.")
            self._made[name] = WeightPrint(tuple(shape), dtype, "", "", tuple(sample.float().tolist()))
        return self._made[name]


def sampled_prints(known: KnownModel) -> SampledPrints:
    """A sample of each floating-point parameter of a model, by its path, as it is now.

    Parameters of subclasses of Tensor (sharded, quantised) are left out: what an element of theirs is they alone know.
    """
    taken: dict[str, tuple[torch.Tensor, torch.Size]] = {}
    modules = known.modules
    with torch.no_grad():
        for name, path, own in known.once(_parameters):
            weight = modules[path]._parameters[own]
            # Whatever the device has no kernel for isn't remembered.
            with suppress(RuntimeError, NotImplementedError):
                if weight is not None and _is_plain(weight):
                    taken[name] = weight.take(_places(weight.numel(), weight.device)), weight.shape
    return SampledPrints(taken)


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
