"""What an edit makes of a tensor, or of the part of it that lies on this rank."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from math import prod

import torch

from tracetui.errors import InputError
from tracetui.expr.edit import Action, Edit
from tracetui.recording.parallel import WHOLE, Place
from tracetui.recording.ranks.overlaps import axes_of, overlaps, without_single_axes
from tracetui.recording.value import Index
from tracetui.tracer.capture.values import dtype_name

_LINEAR = ("zero", "scale")
"""Actions that do to a sum what they do to each of its parts."""
_Pieces = list[tuple[Index, Index]]
"""Where elements stand among those that an edit names, and where in the tensor."""


class CantEditError(Exception):
    """A tensor that an edit names can't be changed so; the text says why."""


def changed_by(edit: Edit, tensor: torch.Tensor, index: Index, key: str, place: Place = WHOLE) -> torch.Tensor:
    """A changed copy of a tensor, of which `place` says which part of the whole it is.

    index: of the whole. key: what noise depends on beside its seed. Raises CantEditError.
    """
    action = edit.action
    _check_sum(action, key, place)
    shape, pieces = _named(tensor, index, key, place)
    if action.name in ("set", "clamp"):
        _check_numbers(action.numbers, tensor.dtype, key)
    noise = _noise(shape, tensor, action.seed, key) if action.name == "noise" else torch.empty(0)
    changed = tensor.detach().clone()
    for to, at in pieces:
        _change(action, changed[at], noise[to] if action.name == "noise" else noise)
    return changed


def replaced_by(
    edit: Edit, read: Callable[[torch.Tensor], torch.Tensor], tensor: torch.Tensor, index: Index, key: str, place: Place
) -> torch.Tensor:
    """The same with the elements that another trace has; `read` is given a tensor of their shape and dtype."""
    _check_sum(edit.action, key, place)
    shape, pieces = _named(tensor, index, key, place)
    like = tensor.new_empty(()).expand(without_single_axes(shape, index) if place.shards else shape)
    changed = tensor.detach().clone()
    try:
        values = read(like).reshape(shape)
    except InputError as error:
        raise CantEditError(f"{_site(key)}: {error}") from None
    for to, at in pieces:
        changed[at].copy_(values[to])
    return changed


def _check_sum(action: Action, key: str, place: Place) -> None:
    if place.partial and action.name not in _LINEAR:
        raise CantEditError(f"{_site(key)}: lies as partial sums on the ranks, of which only zero and scale are known")


def _named(tensor: torch.Tensor, index: Index, key: str, place: Place) -> tuple[list[int], _Pieces]:
    """The shape of the elements that an edit names in the whole, and which of them are here. Raises CantEditError."""
    whole = place.whole_shape(tuple(tensor.shape))
    pieces: _Pieces
    try:
        if place.shards:
            axes = axes_of(whole, index)
            shape, pieces = [len(axis) for axis in axes], list(overlaps(place.shards, axes))
        else:
            shape, pieces = list(tensor[index].shape), [((), index)]
    except IndexError:
        raise CantEditError(f"{_site(key)}: the shape {list(whole)} has no such place") from None
    if prod(whole) and not prod(shape):
        raise CantEditError(f"{_site(key)}: of the shape {list(whole)} the slice names nothing")
    return shape, pieces


def _site(key: str) -> str:
    return key.partition("#")[0]


def _change(action: Action, part: torch.Tensor, noise: torch.Tensor) -> None:
    if part.dtype.itemsize > 1:
        _carry_out(action, part, noise)
        return
    # torch computes nothing in 8 bits, and float32 holds each of their numbers.
    wide = part.float()
    _carry_out(action, wide, noise.float())
    part.copy_(wide)


def _carry_out(action: Action, part: torch.Tensor, noise: torch.Tensor) -> None:
    match action.name:
        case "zero":
            part.zero_()
        case "scale":
            part.mul_(action.numbers[0])
        case "noise":
            part.add_(noise * action.numbers[0])
        case "set":
            part.fill_(action.numbers[0])
        case "clamp":
            part.clamp_(*action.numbers)


def _check_numbers(numbers: Sequence[float], dtype: torch.dtype, key: str) -> None:
    limit = torch.finfo(dtype).max
    if any(math.isfinite(number) and abs(number) > limit for number in numbers):
        raise CantEditError(f"{_site(key)}: {dtype_name(dtype)} holds numbers up to {limit:g}")


def _noise(shape: Sequence[int], like: torch.Tensor, seed: int, key: str) -> torch.Tensor:
    """Standard normal noise that depends on the seed and the record's key alone."""
    drawn = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=7).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(drawn, "little"))
    # Of numbers in 8 bits it is added to their float32.
    dtype = like.dtype if like.dtype.itemsize > 1 else torch.float32
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32).to(like.device, dtype)
