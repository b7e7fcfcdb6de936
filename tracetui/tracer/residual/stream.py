"""Where a layer's residual stream stands after attention: found by what is added up, whatever the modules are called.

The first tensor inside a layer that is a sum of what entered the layer and of what modules in it returned since is the
stream, once it goes into a module. A norm that the layer begins without makes the stream anew (post-norm models): there
it is what that norm returns. Of several streams each is such a sum, token by token; where the layer begins with a
mixture of them, that is followed. Layers that add attention and the MLP at once, or have one sublayer, have no such
tensor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import ref

import torch

from tracetui.tracer.residual.module_facts import ModuleFacts
from tracetui.tracer.residual.plain_sum import is_plain_sum
from tracetui.tracer.residual.running_layer import (
    PassedTensor,
    RunningLayer,
    follow_mixture,
    is_given_stream,
    is_returned,
    is_second_norm,
    is_several,
    remember,
    renews,
)
from tracetui.tracer.residual.sum import is_anew, is_scaled_sum, is_sum
from tracetui.tracer.residual.value_questions import Learnt, ValueQuestions


@dataclass(frozen=True, eq=False, slots=True)
class StreamPoint:
    """Where the residual stream stands after attention."""

    layer: str
    """Path of the layer."""
    call: int
    tensor: torch.Tensor
    """[B,T,D], or as many streams as entered the layer."""


class ResidualStream:
    """Of one watch; used by the model's thread alone."""

    def __init__(self) -> None:
        self._layers: list[RunningLayer] = []
        self.learnt = Learnt()
        """By the kind of a layer."""
        self.value_questions = ValueQuestions()
        self._ask = self.value_questions.ask
        self.vectors: dict[ModuleFacts, Sequence[torch.Tensor]] = {}
        """Parameters as they were when modules ran, where those of now may be others."""

    @property
    def is_inside(self) -> bool:
        """Whether a layer has begun and not ended."""
        return bool(self._layers)

    def begin(self, path: str, module: ModuleFacts, call: int, given: Sequence[torch.Tensor]) -> None:
        """A layer has been given these, the stream first; of two streams by themselves none is followed."""
        stream = given[0]
        if stream.ndim < 2 or any(each is not stream and each.shape == stream.shape for each in given):
            return
        factors = tuple(self._own(module, stream))
        self._layers.append(RunningLayer(path, module.kind, call, stream, stream, factors))

    def entering(self, path: str, module: ModuleFacts, given: Sequence[torch.Tensor]) -> StreamPoint | None:
        """The stream after attention, if a module is about to be given that among its floating-point tensors."""
        layer = self._layers[-1] if self._layers else None
        if layer is None or layer.done or not path.startswith(f"{layer.path}."):
            return None
        if layer.entered.dim() > 3 and layer.holds(path):
            follow_mixture(self._ask, layer, given)
        if any(each is layer.stream for each in given):
            is_given_stream(layer, path, module, given)
        for tensor in given:
            if tensor is not layer.stream and self._is_stream(layer, path, module, tensor):
                layer.done = True
                if (earlier := self._earlier(layer, path)) is None:
                    layer.renewed_by = path if renews(layer, path, module) else ""
                    return None if layer.renewed_by else _stream(layer, tensor)
                return None if earlier.renews else _stream(layer, earlier.tensor)
        return None

    def returned(self, path: str, module: ModuleFacts, tensor: torch.Tensor, first: bool) -> StreamPoint | None:
        """The same, if a module has returned that, as the first of its tensors or a further one."""
        layer = self._layers[-1] if self._layers else None
        if layer is None or not path.startswith(f"{layer.path}."):
            return None
        if layer.renewed_by == path:
            layer.renewed_by = ""
            return _stream(layer, tensor)
        if layer.joined_by == path and not layer.done:
            layer.joined_by = ""
            if layer.last is not None and self._ask(
                is_scaled_sum, tensor, layer.stream, layer.last, self._own(module, tensor)
            ):
                layer.done = True
                return _stream(layer, tensor)
        if layer.began_with_norm == path and layer.normed is None:
            layer.normed = tensor
        if not layer.done:
            remember(layer, tensor, first and layer.holds(path))
        return None

    def ended(self, path: str, output: torch.Tensor | None) -> StreamPoint | None:
        """Where the stream was, if only the layer's output shows it; afterwards the layer is forgotten."""
        if all(layer.path != path for layer in self._layers):
            return None
        while (layer := self._layers.pop()).path != path:
            # Its error was caught: it has begun and will never end.
            pass
        return None if layer.done else self._found_late(layer, output)

    def _earlier(self, layer: RunningLayer, path: str) -> PassedTensor | None:
        """What went into another module before, and is such a sum: of one token the norm of the stream can look like
        one as well, and the first of all is the stream, unless several tokens have told where it goes.
        """
        sure = path.removeprefix(layer.path) in self.learnt.sure.get(layer.kind, ())
        return None if sure else self._passed(layer, [each for each in layer.passed if layer.holds(each.path)])

    def _passed(self, layer: RunningLayer, asked: list[PassedTensor]) -> PassedTensor | None:
        """The first of these tensors that is such a sum; where it went, later layers are asked at once."""
        found = next((each for each in asked if self._is_sum(layer, each.tensor, each.returned)), None)
        if found is not None:
            self.learnt.places[layer.kind].add(found.path.removeprefix(layer.path))
        layer.passed.clear()
        return found

    def _found_late(self, layer: RunningLayer, output: torch.Tensor | None) -> StreamPoint | None:
        if (passed := self._passed(layer, layer.passed)) is not None:
            return None if passed.renews else _stream(layer, passed.tensor)
        if not _is_one_token(layer.stream):
            self.learnt.without_sum.add(layer.kind)
        if output is None or layer.last is None or not output.numel() == layer.stream.numel() == layer.last.numel():
            return None
        anew = (each for each in layer.begun_anew if self._ask(is_anew, output, each, layer.last, layer.stream))
        return next((_stream(layer, each) for each in anew), None)

    def _is_stream(self, layer: RunningLayer, path: str, module: ModuleFacts, tensor: torch.Tensor) -> bool:
        if tensor.numel() not in (layer.stream.numel(), layer.entered.numel()) or layer.has_looked_at(tensor):
            return False
        if _begin_alike(tensor, layer.stream):
            return False
        # Parts of one stream can look like several: that these are none tells nothing of the whole.
        return is_several(self._ask, layer, tensor) or self._is_one_stream(layer, path, module, tensor)

    def _is_one_stream(self, layer: RunningLayer, path: str, module: ModuleFacts, tensor: torch.Tensor) -> bool:
        if not layer.returned or not _is_laid_out_as(tensor, layer.stream):
            return False
        place, places = path.removeprefix(layer.path), self.learnt.places.setdefault(layer.kind, set())
        before = [each for each in layer.returned if each is not tensor and each is not layer.normed]
        if (
            places
            and place not in places
            and not (before and self._ask(is_plain_sum, tensor, layer.stream, before[-1]))
        ):
            layer.passed.append(PassedTensor(path, tensor, tuple(layer.returned), renews(layer, path, module)))
            found: bool | None = False
        else:
            found = self._is_sum(layer, tensor, layer.returned)
        if found:
            places.add(place)
            if not _is_one_token(tensor):
                self.learnt.sure.setdefault(layer.kind, set()).add(place)
        if found or (found is None and is_second_norm(layer, path, module, tensor)):
            return True
        if layer.holds(path) and tensor is not layer.normed and is_returned(self._ask, layer, tensor):
            layer.begun_anew.append(tensor)
        layer.looked_at[id(tensor)] = ref(tensor)
        return False

    def _is_sum(
        self, layer: RunningLayer, tensor: torch.Tensor, returned: deque[torch.Tensor] | tuple[torch.Tensor, ...]
    ) -> bool | None:
        others = [each for each in returned if each is not tensor and each is not layer.normed]
        if layer.kind in self.learnt.without_sum and _is_one_token(layer.stream):
            return bool(others) and self._ask(is_plain_sum, tensor, layer.stream, others[-1])
        return self._ask(is_sum, tensor, layer.stream, layer.factors, layer.normed, others)

    def _own(self, module: ModuleFacts, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The parameters of a module's own that have a number for each channel."""
        own = self.vectors.get(module)
        return [each.detach() for each in (module.own() if own is None else own) if each.shape == tensor.shape[-1:]]


def _begin_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether both begin at the same place of memory. Asking for its address would copy what a record shares."""
    same = one.untyped_storage()._cdata == other.untyped_storage()._cdata
    return same and one.storage_offset() == other.storage_offset()


def _stream(layer: RunningLayer, tensor: torch.Tensor) -> StreamPoint:
    alike = next((each for each in (layer.entered, layer.stream) if each.numel() == tensor.numel()), tensor)
    return StreamPoint(layer.path, layer.call, tensor if tensor.shape == alike.shape else tensor.reshape(alike.shape))


def _is_laid_out_as(tensor: torch.Tensor, stream: torch.Tensor) -> bool:
    """Whether a tensor may hold a stream [B,T,D], tokens and batch in one or not."""
    as_many = tensor.numel() == stream.numel() and tensor.shape[-1] == stream.shape[-1]
    return as_many and tensor.dim() <= stream.dim()


def _is_one_token(stream: torch.Tensor) -> bool:
    return stream.numel() == stream.shape[-1]
