"""The modules of a model by their paths, and what follows from how they are built, as long as that stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter, methodcaller
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary, ref

from torch import nn
from torch.nn.parameter import is_lazy

from tracetui.models.recordable.watched_call import INSTEAD, is_watched_call

Made = TypeVar("Made")


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
    Whole lists are compared, so that hardly a step is the interpreter's.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """modules: all of the model's."""
        every = list(modules)
        self._forwards = {each.__class__: getattr(each.__class__, "forward", None) for each in every}
        """By the classes of modules, what they run."""
        self._living = [ref(each) for each in every]
        self._may_be_lazy = any(
            is_lazy(own) for each in every for own in each.__dict__.get("_parameters", _NONE).values()
        )
        self._built, self._tensors = self._as_built(every), self._held(every)

    @property
    def fits(self) -> bool:
        """Whether all is as it was."""
        modules = self._there()
        return modules is not None and self._as_built(modules) == self._built and self._held(modules) == self._tensors

    @property
    def fits_but_for_tensors(self) -> bool:
        """Whether all is as it was, whichever parameters and buffers stand in the modules now."""
        modules = self._there()
        return modules is not None and self._as_built(modules) == self._built

    def _there(self) -> list[nn.Module] | None:
        """All modules, if they run what they did."""
        if any(getattr(kind, "forward", None) is not forward for kind, forward in self._forwards.items()):
            return None
        modules = [living() for living in self._living]
        return None if None in modules else cast("list[nn.Module]", modules)

    @staticmethod
    def _as_built(modules: Sequence[nn.Module]) -> tuple[list[object], ...]:
        """The classes of modules, their parts, and what else they may have been given."""
        own = [module.__dict__ for module in modules]
        parts = [held if type(held := each.get("_modules")) is dict else _NONE for each in own]
        with_parts = [each for each in parts if each]
        return (
            [module.__class__ for module in modules],
            [*map(len, parts)],
            [*chain.from_iterable(with_parts)],
            [*map(id, chain.from_iterable(map(_VALUES, with_parts)))],
            [_given(each) for each in own if "config" in each or "forward" in each or each.get(INSTEAD)],
        )

    def _held(self, modules: Sequence[nn.Module]) -> tuple[list[object], ...]:
        """Which parameters they have, of which shapes, as `data` may be set, and what has no values.

        A buffer may be another in each call.
        """
        own = [module.__dict__ for module in modules]
        parameters = [each.get("_parameters", _NONE) for each in own]
        weights = [*chain.from_iterable(map(_VALUES, filter(None, parameters)))]
        there = [weight for weight in weights if weight is not None]
        buffers = chain.from_iterable(map(_VALUES, filter(None, map(_BUFFERS, own))))
        return (
            [*map(len, parameters)],
            [*map(id, weights)],
            [None if is_lazy(each) else each.shape for each in there] if self._may_be_lazy else [*map(_SHAPE, there)],
            [*map(_IS_META, there), *[each.is_meta for each in buffers if each is not None]],
        )


_VALUES, _BUFFERS = methodcaller("values"), methodcaller("get", "_buffers")
_SHAPE, _IS_META = attrgetter("shape"), attrgetter("is_meta")
_NONE: Mapping[str, Any] = {}
"""Of a script module, whose parts are kept otherwise."""


def _given(own: Mapping[str, Any]) -> tuple[int, ...]:
    """Which module it is, and which configuration, forward and call it was given; a watch changes nothing of these."""
    call = own.get(INSTEAD)
    return id(own), id(own.get("config")), id(own.get("forward")), id(None if is_watched_call(call) else call)


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

    @property
    def model(self) -> nn.Module:
        """The whole model."""
        model = self._modules[0][1]()
        assert model is not None
        return model

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
    def model(self) -> nn.Module:
        return self._standing[""]

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
