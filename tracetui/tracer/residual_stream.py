"""Where a layer's residual stream stands after attention: found by what is added up, whatever the modules are called.

The first tensor inside a layer that is a sum of what entered the layer and of what modules in it returned since is the
stream, once it goes into a module. A norm that the layer begins without makes the stream anew (post-norm models): there
it is what that norm returns. Layers that add attention and the MLP at once, or have one sublayer, have no such tensor.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

_REMEMBERED = 8
"""Tensors of a layer that may be part of a sum: what its last modules returned."""
_ROWS, _COLUMNS = 8, 64
"""How much of a tensor is looked at to tell whether it is a sum."""
_NEGLIGIBLE = 1e-6
"""A share of a sum that is none."""
_ROUNDINGS = 8
"""How many times a sum of a few terms may have been rounded."""
_CANCELLED = 1000
"""How many times larger than a sum its terms may be."""
Sample = npt.NDArray[np.float64]


@dataclass(eq=False)
class _Layer:
    path: str
    kind: object
    """The same of layers whose code is."""
    call: int
    stream: torch.Tensor
    """What entered it [B,T,D]."""
    factors: tuple[torch.Tensor, ...]
    """Of the layer's own parameters those that may scale the stream [D]."""
    returned: deque[torch.Tensor] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    looked_at: set[int] = field(default_factory=set)
    """Tensors that are no such sum, by identity; alive as long as the layer runs, or else just looked at again."""
    began_with_norm: str = ""
    """The norm that was given the stream before any other module had returned."""
    normed: torch.Tensor | None = None
    """What it returned."""
    renewed_by: str = ""
    """The norm that makes the stream anew."""
    done: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Stream:
    """Where the residual stream stands after attention."""

    layer: str
    """Path of the layer."""
    call: int
    tensor: torch.Tensor
    """[B,T,D]"""


class ResidualStream:
    """Of one watch; used by the model's thread alone."""

    def __init__(self) -> None:
        self._layers: list[_Layer] = []
        self._places: dict[object, set[str]] = {}
        """By the kind of a layer, in which of its modules the stream was found to go: others alike aren't asked."""

    def begin(self, path: str, module: nn.Module, call: int, given: list[torch.Tensor]) -> None:
        """A layer has been given these, the stream first; of two streams that it mixes none is followed."""
        stream = given[0]
        if stream.ndim < 2 or any(each is not stream and each.shape == stream.shape for each in given):
            return
        own = module.parameters(recurse=False)
        factors = tuple(each.detach() for each in own if each.shape == stream.shape[-1:])
        self._layers.append(_Layer(path, _kind(module), call, stream, factors))

    def forget(self) -> None:
        self._layers.clear()

    def entering(self, path: str, module: nn.Module, given: list[torch.Tensor]) -> Stream | None:
        """The stream after attention, if a module is about to be given that among its floating-point tensors."""
        layer = self._layers[-1] if self._layers else None
        if layer is None or layer.done or not path.startswith(f"{layer.path}."):
            return None
        for tensor in given:
            if tensor is layer.stream:
                if _is_norm(path, module) and not layer.returned:
                    layer.began_with_norm = path
                elif any(True for _ in module.children()):
                    # What it adds to the stream is its own: nothing that came before it is part of that sum.
                    layer.returned.clear()
            elif self._is_stream(layer, path, module, tensor):
                layer.done = True
                if _is_norm(path, module) and not layer.began_with_norm:
                    layer.renewed_by = path
                    return None
                return _stream(layer, tensor)
        return None

    def returned(self, path: str, tensor: torch.Tensor) -> Stream | None:
        """The same, if a module has returned that."""
        layer = self._layers[-1] if self._layers else None
        if layer is not None and layer.path == path:
            self._layers.pop()
        if layer is None or not path.startswith(f"{layer.path}."):
            return None
        if layer.renewed_by == path:
            layer.renewed_by = ""
            return _stream(layer, tensor)
        if layer.began_with_norm == path and layer.normed is None:
            layer.normed = tensor
        width = layer.stream.shape[-1]
        if not layer.done and tensor.shape[-1:] == (width,) and tensor.numel() in (layer.stream.numel(), width):
            layer.returned.append(tensor)
        return None

    def _is_stream(self, layer: _Layer, path: str, module: nn.Module, tensor: torch.Tensor) -> bool:
        if not layer.returned or tensor.numel() != layer.stream.numel() or id(tensor) in layer.looked_at:
            return False
        if tensor.shape[-1] != layer.stream.shape[-1] or tensor.data_ptr() == layer.stream.data_ptr():
            return False
        place, places = path.removeprefix(layer.path), self._places.setdefault(layer.kind, set())
        if places and place not in places:
            return False
        is_sum = _is_sum(tensor, layer)
        if is_sum:
            places.add(place)
        if is_sum or (is_sum is None and _is_second_norm(layer, path, module, tensor)):
            return True
        layer.looked_at.add(id(tensor))
        return False


def _stream(layer: _Layer, tensor: torch.Tensor) -> Stream:
    same = tensor.shape == layer.stream.shape
    return Stream(layer.path, layer.call, tensor if same else tensor.reshape(layer.stream.shape))


def _is_norm(path: str, module: nn.Module) -> bool:
    """Whether it is one, or stands where others have one."""
    return any("norm" in name.lower() for name in (type(module).__name__, path.rpartition(".")[2]))


def _is_second_norm(layer: _Layer, path: str, module: nn.Module, tensor: torch.Tensor) -> bool:
    """Whether a layer's own norm is given what no module returned, in a layer that has begun with one."""
    own = path.rpartition(".")[0] == layer.path and not any(tensor is each for each in layer.returned)
    return own and bool(layer.began_with_norm) and _is_norm(path, module)


def _is_sum(tensor: torch.Tensor, layer: _Layer) -> bool | None:
    """Whether a tensor is α·stream + β·returned + …, by a sample of it, as exactly as its dtype has it.

    None if NaN and infinities leave nobody the means to tell.
    """
    others = [each for each in layer.returned if each is not tensor and each is not layer.normed]
    if not others:
        return False
    if _is_plain_sum(tensor, layer.stream, others[-1]):
        return True
    eps = max(torch.finfo(each.dtype).eps for each in (tensor, layer.stream, *layer.returned))
    total, stream = _sample(tensor), _sample(layer.stream)
    bases = [stream, *(stream * _sample(factor) for factor in layer.factors)]
    bases += [_sample(layer.normed)] if layer.normed is not None else []
    parts = [np.broadcast_to(_sample(each), total.shape) for each in others]
    if not all(np.isfinite(each).all() for each in (total, *bases, *parts)):
        return None
    return any(_fits(total, [base], parts[-1:], eps) for base in bases) or _fits(total, bases, parts, eps)


def _is_plain_sum(tensor: torch.Tensor, stream: torch.Tensor, last: torch.Tensor) -> bool:
    """Whether a tensor is what torch makes of stream + last, to the last bit, and both have a part in it.

    That is the likeliest, and needs no weights to be looked for.
    """
    if not tensor.dtype == stream.dtype == last.dtype or not tensor.device == stream.device == last.device:
        return False
    total, one, other = _few(tensor), _few(stream), _few(last)
    if other.shape != total.shape or not torch.equal(total, one + other):
        return False
    size, of_stream, of_last = (torch.linalg.vector_norm(part.float()).item() for part in (total, one, other))
    eps = torch.finfo(tensor.dtype).eps
    # Of what isn't finite, nothing is larger than anything.
    return bool(of_stream > _NEGLIGIBLE * size and of_last > _ROUNDINGS * eps * size)


def _few(tensor: torch.Tensor) -> torch.Tensor:
    """A few rows and columns of a tensor, the same of each [rows, columns]."""
    rows = tensor.detach().reshape(-1, tensor.shape[-1])
    return rows[:: -(-len(rows) // _ROWS), :: -(-rows.shape[1] // _COLUMNS)]


def _sample(tensor: torch.Tensor) -> Sample:
    return _few(tensor).to(device="cpu", dtype=torch.float64).numpy()


def _fits(total: Sample, bases: list[Sample], parts: list[Sample], eps: float) -> bool:
    columns = np.stack([each.ravel() for each in (*bases, *parts)], axis=1)
    columns /= np.maximum(np.linalg.norm(columns, axis=0), np.finfo(np.float64).tiny)
    # Of one token the norm is a multiple of the stream: what both differ by is rounding, and fits anything.
    weights = np.linalg.lstsq(columns, total.ravel(), rcond=eps)[0]
    terms = columns * weights
    if np.linalg.norm(terms, axis=0).max() > _CANCELLED * np.linalg.norm(total):
        return False
    rounding = _ROUNDINGS * eps * (np.abs(terms).sum(axis=1) + np.abs(total.ravel()))
    if (np.abs(terms.sum(axis=1) - total.ravel()) > rounding).any():
        return False
    size = np.linalg.norm(total)
    of_stream = np.linalg.norm(terms[:, : len(bases)].sum(axis=1))
    of_parts = np.linalg.norm(terms[:, len(bases) :].sum(axis=1))
    # Where an edit has made attention nothing, the stream goes on as it was.
    return bool(of_stream > _NEGLIGIBLE * size and (of_parts > _ROUNDINGS * eps * size or not parts[-1].any()))


def _kind(layer: nn.Module) -> object:
    """What layers have in common that call the same modules in the same order."""
    return (type(layer), *((name, type(child)) for name, child in layer.named_children()))
