"""The modules of a model by their paths, and what follows from how they are built, as long as that stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary, ref

import torch
from torch import nn
from torch.nn.parameter import is_lazy

Made = TypeVar("Made")
_OTHERS = ("config", "forward", "_compiled_call_impl")
"""A module may be given another configuration, another forward, or be compiled where it stands."""


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """What `dict(model.named_modules())` has, in its order: each module once. In a third of its time."""
    modules = {"": model}
    _add(model, "", modules, {model})
    return modules


def _add(module: nn.Module, prefix: str, modules: dict[str, nn.Module], seen: set[nn.Module]) -> None:
    for name, child in module._modules.items():
        if child is not None and child not in seen:
            seen.add(child)
            path = prefix + name
            modules[path] = child
            if child._modules:
                _add(child, f"{path}.", modules, seen)


def has_parameters(module: nn.Module) -> bool:
    """Whether a module or any inside it has parameters."""
    if any(parameter is not None for parameter in module._parameters.values()):
        return True
    return any(child is not None and has_parameters(child) for child in module._modules.values())


class Fingerprint:
    """Of a model as it is now; keeps nothing of it alive. To compare it costs a small part of what it tells for.

    What stands at a place is told by identity: no module that is known can have been freed while all of them live.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """modules: all of the model's."""
        every = list(modules)
        self._forwards = {each.__class__: getattr(each.__class__, "forward", None) for each in every}
        """By the classes of modules, what they run."""
        self._modules = [(ref(each), each.__class__, *_built(each.__dict__)) for each in every]
        parameters = [own for each in every for own in each._parameters.values()]
        self._may_be_lazy = any(is_lazy(each) for each in parameters if each is not None)
        self._tensors = self._values(parameters, [own for each in every for own in each._buffers.values()])

    @property
    def fits(self) -> bool:
        """Whether all is as it was."""
        tensors = self._held()
        return tensors is not None and self._values(*tensors) == self._tensors

    @property
    def fits_but_for_tensors(self) -> bool:
        """Whether all is as it was, whichever parameters and buffers stand in the modules now."""
        return self._held() is not None

    def _held(self) -> tuple[list[torch.Tensor | None], list[torch.Tensor | None]] | None:
        """The parameters and buffers that there are now; None where the modules aren't what they were."""
        parameters: list[torch.Tensor | None] = []
        buffers: list[torch.Tensor | None] = []
        if any(getattr(kind, "forward", None) is not forward for kind, forward in self._forwards.items()):
            return None
        for living, kind, parts, others in self._modules:
            module = living()
            if module is None or module.__class__ is not kind:
                return None
            # Not getattr: nn.Module's own is slow where there is none.
            own = module.__dict__
            held = own.get("_modules")
            if (held or parts) and (type(held) is not dict or [*held, *map(id, held.values())] != parts):
                return None
            if (others or not own.keys().isdisjoint(_OTHERS)) and _others(own) != others:
                return None
            parameters += own.get("_parameters", {}).values()
            if own.get("_buffers"):
                buffers += own["_buffers"].values()
        return parameters, buffers

    def _values(
        self, parameters: Sequence[torch.Tensor | None], buffers: Sequence[torch.Tensor | None]
    ) -> list[object]:
        """Which parameters they are, of which shapes, as `data` may be set, and what has no values.

        A buffer may be another in each call.
        """
        there = [each for each in parameters if each is not None]
        values = [each.is_meta for each in (*there, *buffers) if each is not None]
        if self._may_be_lazy:
            return [*map(id, parameters), *(None if is_lazy(each) else each.shape for each in there), *values]
        return [*map(id, parameters), *[each.shape for each in there], *values]


def _built(own: Mapping[str, Any]) -> tuple[list[object], list[int]]:
    """A module's parts, of a script module none, and what else it may have been given."""
    held = own.get("_modules")
    parts = [*held, *map(id, held.values())] if type(held) is dict else []
    return parts, _others(own)


def _others(own: Mapping[str, Any]) -> list[int]:
    return [id(own[name]) for name in _OTHERS if name in own]


class KnownModel:
    """A model as it is built now; nothing of it is kept alive. May be used by any thread."""

    def __init__(self, model: nn.Module) -> None:
        modules = modules_of(model)
        self.fingerprint = Fingerprint(modules.values())
        self._modules = [(path, ref(module)) for path, module in modules.items()]
        self._made: dict[object, object] = {}

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All modules by their paths, each once, in their order; somebody keeps the model alive."""
        return {path: module for path, living in self._modules if (module := living()) is not None}

    def with_others(self, others: Mapping[str, nn.Module]) -> KnownModel:
        """The same model while other modules stand at some paths, and nothing of what is inside those."""
        return PartlyKnownModel(self, others)

    def once(self, make: Callable[[Mapping[str, nn.Module]], Made]) -> Made:
        """What a function makes of the modules by their paths; it must keep none of them."""
        if make not in self._made:
            self._made[make] = make(self.modules)
        return cast("Made", self._made[make])


class PartlyKnownModel(KnownModel):
    """A model at some of whose places others stand for a while; what is known of the rest is known already.

    It keeps alive what stands there, and is to be dropped with it.
    """

    def __init__(self, whole: KnownModel, others: Mapping[str, nn.Module]) -> None:
        inside = tuple(f"{path}." for path in others)
        self.fingerprint = whole.fingerprint
        self._whole = whole
        self._standing = {
            path: others.get(path, module) for path, module in whole.modules.items() if not path.startswith(inside)
        }

    @property
    def modules(self) -> dict[str, nn.Module]:
        """As they stand."""
        return self._standing

    def once(self, make: Callable[[Mapping[str, nn.Module]], Made]) -> Made:
        """What a function makes of the modules, of what it has made of the whole if it can do that."""
        of_part = getattr(make, "of_part", None)
        made = make(self._standing) if of_part is None else of_part(self._whole.once(make), self._standing)
        return cast("Made", made)


_known: WeakKeyDictionary[nn.Module, KnownModel] = WeakKeyDictionary()


def known_model(model: nn.Module) -> KnownModel:
    """What is known of a model, as it is now."""
    known = _known.get(model)
    if known is None or not known.fingerprint.fits:
        known = _known[model] = KnownModel(model)
    return known
