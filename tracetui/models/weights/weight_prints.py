"""Remembers of every weight that is read what a trace keeps of it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch

from tracetui.models.weights.sources import TensorSpec, Tick, WeightSource
from tracetui.native.library import library
from tracetui.recording.weight_prints import WeightPrint, sampled_places

_LANES = 2**16
"""Eight bytes each, multiplied and summed at a time: few enough to stay in the processor's cache."""
_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
_PRIME = 0x100000001B3


class PrintedSource:
    """Another source, of whose weights it remembers the digest and a sample when each is read first."""

    def __init__(self, source: WeightSource) -> None:
        self._source = source
        self.prints: dict[str, WeightPrint] = {}
        """By name; grows while a model runs."""

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        return self._source.provenance(spec, rows)

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        made = self._source.read(spec, rows, tick)
        name, held = _name_of(spec, rows)
        known = self.prints.get(name)
        if name and (known is None or known.rows != held):
            provenance = self._source.provenance(spec, rows) or ""
            self.prints[name] = print_of(made, provenance, held)
        return made


def _name_of(spec: TensorSpec, rows: Sequence[int] | None) -> tuple[str, str]:
    """Under which name a reading is remembered, and which rows it is of; no name for what is left out.

    Of a table the rows of the prompt are remembered, and not those of each token that follows.
    """
    if rows is None:
        return spec.name, ""
    if len(rows) == 1:
        return (f"{spec.name}[{rows[0]}]", "") if len(spec.shape) > 2 else ("", "")
    return f"{spec.name}[rows]", digest(torch.tensor(rows, dtype=torch.int64))


def print_of(weight: torch.Tensor, provenance: str, rows: str = "") -> WeightPrint:
    """What is remembered of a weight on the CPU."""
    flat = weight.detach().reshape(-1)
    sample = flat[torch.from_numpy(sampled_places(flat.numel()))].float()
    dtype = str(weight.dtype).removeprefix("torch.")
    return WeightPrint(tuple(weight.shape), dtype, provenance, digest(weight), tuple(sample.tolist()), rows)


def digest(tensor: torch.Tensor) -> str:
    """Of all bytes of a tensor and their order, at several GB a second; not one that resists an attacker."""
    content = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    whole = len(content) // 8 * 8
    add = _add_digest()
    total = len(content)
    total = _added(content[:whole], total) if add is None else add(content.data_ptr(), whole // 8, total)
    rest = int.from_bytes(content[whole:].numpy().tobytes(), "little")
    return f"{(total * _PRIME + rest) & _MASK:016x}"


@cache
def _add_digest() -> Callable[[int, int, int], int] | None:
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_add_digest
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64)
    function.restype = ctypes.c_uint64
    return function


def _added(content: torch.Tensor, total: int) -> int:
    """The same with torch, for whole lanes of eight bytes."""
    lanes = content.view(torch.int64) if content.storage_offset() % 8 == 0 else _copied(content)
    for first in range(0, len(lanes), _LANES):
        part = lanes[first : first + _LANES]
        total = (total * _PRIME + int((part * _factors()[: len(part)]).sum())) & _MASK
    return total


def _copied(content: torch.Tensor) -> torch.Tensor:
    """Bytes that begin within a lane, as lanes of their own."""
    return content.clone().view(torch.int64)


@cache
def _factors() -> torch.Tensor:
    """An odd factor for each lane of a part, so that its order counts."""
    numbers = np.arange(1, _LANES + 1, dtype=np.uint64) * np.uint64(_STEP) | np.uint64(1)
    return torch.from_numpy(numbers.view(np.int64))
