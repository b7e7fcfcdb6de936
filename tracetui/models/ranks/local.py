"""What of a tensor lies here, where several ranks hold it together: a DTensor, or what a collective will have made.

Of a DTensor most of torch's reductions answer for the part that lies here, and others fail or talk to the other ranks,
who need not be at the same line. So nothing here computes with one: with its local part alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch

_DTENSOR, _PENDING = "torch.distributed.tensor", "torch.distributed._functional_collectives"
_PLAIN = (torch.Tensor, torch.nn.Parameter)


def is_spread(tensor: torch.Tensor) -> bool:
    """Whether a tensor is one of torch's DTensors."""
    if type(tensor) in _PLAIN:
        return False
    # Where nobody has loaded them there are none.
    known: Any = sys.modules.get(_DTENSOR)
    return known is not None and isinstance(tensor, known.DTensor)


def local_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """The plain tensor behind one: of a DTensor the part that lies here, and what a collective made, waited for."""
    if type(tensor) in _PLAIN:
        return tensor
    if is_spread(tensor):
        # Not to_local(), which gives another tensor each time while gradients are on.
        return local_tensor(cast("Any", tensor)._local_tensor)
    known: Any = sys.modules.get(_PENDING)
    if known is not None and isinstance(tensor, known.AsyncCollectiveTensor):
        return cast("torch.Tensor", cast("Any", tensor).trigger_wait())
    return tensor


def with_local(tensor: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
    """The same tensor over the ranks, with another part here."""
    if not is_spread(tensor):
        return local
    spread: Any = tensor
    made: torch.Tensor = type(spread).from_local(
        local, spread.device_mesh, spread.placements, run_check=False, shape=spread.shape, stride=spread.stride()
    )
    return made


def is_all_here(tensor: torch.Tensor) -> bool:
    """Whether no element of a tensor lies on other ranks alone."""
    return not is_spread(tensor) or all(each.is_replicate() for each in cast("Any", tensor).placements)


def whole_indices(tensor: torch.Tensor, dimension: int) -> torch.Tensor:
    """Which indices of the whole, along a dimension, lie here: in the order in which they do."""
    axes = range(len(cast("Any", tensor).placements)) if is_spread(tensor) else ()
    return cut_indices(tensor, dimension, axes)


def cut_indices(tensor: torch.Tensor, dimension: int, axes: Iterable[int]) -> torch.Tensor:
    """The same, had the tensor been cut along these axes of its mesh alone."""
    indices, spread = torch.arange(tensor.shape[dimension]), cast("Any", tensor)
    for axis in axes:
        placement = spread.placements[axis]
        if getattr(placement, "dim", None) == dimension:
            along = type(placement)(0, **_packing(placement))
            parts, _ = along._split_tensor(indices, spread.device_mesh.size(axis), with_padding=False)
            indices = parts[spread.device_mesh.get_local_rank(axis)]
    return indices


def whole_index(tensor: torch.Tensor, index: Sequence[int]) -> tuple[int, ...]:
    """Where in the whole an element stands, by its index in what lies here."""
    if not is_spread(tensor):
        return tuple(index)
    return tuple(int(whole_indices(tensor, dimension)[place]) for dimension, place in enumerate(index))


def _packing(placement: Any) -> dict[str, int]:
    """Of a placement that cuts each of several parts that are packed in one: how many."""
    packed = getattr(placement, "split_factor", None)
    return {} if packed is None else {"split_factor": packed}
