"""A layer that runs: what entered it, and what its modules returned since, from which its residual stream is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import ReferenceType

import torch

from tracetui.tracer.residual.module_facts import ModuleFacts
from tracetui.tracer.residual.sum import is_mixed, is_sum_of_streams, same_values
from tracetui.tracer.residual.value_questions import Ask

_REMEMBERED = 8
"""Tensors of a layer that may be part of a sum: what its last modules returned."""
_CALLED = 3
"""The most tensors that are kept from modules that the layer itself calls."""


@dataclass(frozen=True, eq=False, slots=True)
class PassedTensor:
    """A tensor that went into a module where no layer of this kind had its stream until now."""

    path: str
    tensor: torch.Tensor
    returned: tuple[torch.Tensor, ...]
    """What modules had returned until then."""
    renews: bool
    """Whether the module is a norm that would begin the stream anew from this tensor."""


@dataclass(eq=False)
class RunningLayer:
    path: str
    kind: object
    """Equal for layers that run the same code."""
    call: int
    entered: torch.Tensor
    """What entered it: the stream [B,T,D], or several."""
    stream: torch.Tensor
    """That, or the mixture [B,T,D] of several streams that its modules read."""
    factors: tuple[torch.Tensor, ...]
    """Of the layer's own parameters those that may scale the stream [D]."""
    returned: deque[torch.Tensor] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    looked_at: dict[int, ReferenceType[torch.Tensor]] = field(default_factory=dict)
    """Tensors known not to be such a sum, by `id`; once a tensor is freed, another may have its `id`."""
    passed: list[PassedTensor] = field(default_factory=list)
    begun_anew: list[torch.Tensor] = field(default_factory=list)
    """Tensors that one module returned and another received unchanged: the stream may begin anew with one."""
    called: deque[torch.Tensor] = field(default_factory=lambda: deque(maxlen=_CALLED))
    """What modules that the layer itself calls returned, as wide as a stream."""
    began_with_norm: str = ""
    """The norm that was given the stream before any other module had returned."""
    normed: torch.Tensor | None = None
    """What it returned."""
    renewed_by: str = ""
    """The norm that makes the stream anew."""
    joined_by: str = ""
    """The module with weights of its own that was given the stream beside what is added to it."""
    done: bool = False

    @property
    def last(self) -> torch.Tensor | None:
        """What a module that the layer itself calls returned last."""
        return self.called[-1] if self.called else None

    def has_looked_at(self, tensor: torch.Tensor) -> bool:
        """Whether this very tensor is known not to be such a sum."""
        known = self.looked_at.get(id(tensor))
        return known is not None and known() is tensor

    def holds(self, path: str) -> bool:
        """Whether it calls the module at a path itself."""
        return path.rpartition(".")[0] == self.path


def follow_mixture(ask: Ask, layer: RunningLayer, given: Sequence[torch.Tensor]) -> None:
    """Of several streams follow the sum of them that the layer's modules are about to be given."""
    for tensor in given:
        if (
            tensor is not layer.stream
            and tensor.numel() < layer.entered.numel()
            and ask(is_mixed, tensor, layer.entered)
        ):
            layer.stream = tensor
            layer.returned.clear()
            return


def is_given_stream(layer: RunningLayer, path: str, module: ModuleFacts, given: Sequence[torch.Tensor]) -> None:
    """Note what a module may make of the stream that it is about to be given."""
    if module.is_norm and not layer.returned:
        layer.began_with_norm = path
    elif layer.last is not None and layer.holds(path) and any(each is layer.last for each in given):
        layer.joined_by = path
    elif not module.is_leaf:
        # What it adds to the stream is its own: nothing that came before it is part of that sum.
        layer.returned.clear()


def remember(layer: RunningLayer, tensor: torch.Tensor, by_layer: bool) -> None:
    """Keep what a module has returned, if it may be part of a sum; by_layer: the layer itself called it."""
    width = layer.stream.shape[-1]
    if tensor.shape[-1:] == (width,) and tensor.numel() in (layer.stream.numel(), width):
        layer.returned.append(tensor)
    if by_layer and tensor.numel() and tensor.dim() and layer.entered.shape[-1] % tensor.shape[-1] == 0:
        layer.called.append(tensor)


def renews(layer: RunningLayer, path: str, module: ModuleFacts) -> bool:
    """Whether the module is a norm that begins the stream anew, since no norm came before attention."""
    return module.is_norm and not layer.began_with_norm


def is_returned(ask: Ask, layer: RunningLayer, tensor: torch.Tensor) -> bool:
    """Whether a tensor is what a module returned, perhaps in another dtype."""
    others = (each for each in layer.returned if tensor.dtype != each.dtype)
    return any(tensor is each for each in layer.returned) or any(ask(same_values, tensor, each) for each in others)


def is_second_norm(layer: RunningLayer, path: str, module: ModuleFacts, tensor: torch.Tensor) -> bool:
    """Whether a layer's own norm is given what no module returned, in a layer that has begun with one."""
    own = layer.holds(path) and not any(tensor is each for each in layer.returned)
    return own and bool(layer.began_with_norm) and module.is_norm


def is_several(ask: Ask, layer: RunningLayer, tensor: torch.Tensor) -> bool:
    """Whether several streams are the sums that they would be after attention."""
    if tensor.numel() != layer.entered.numel():
        return False
    smaller = (each for each in reversed(layer.called) if each.numel() < tensor.numel())
    return any(ask(is_sum_of_streams, tensor, layer.entered, each) for each in smaller)
