"""The calls of modules, each reported before and after to one observer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module
from torch.utils.hooks import RemovableHandle

from tracetui.models.recordable.watched_call import INSTEAD, may_be_watched, watched_by
from tracetui.tracer.hooks.module_site import ModuleSite
from tracetui.tracer.observer import Observer


class ModuleCalls:
    """One watched call for each module; where somebody else has hooks, a pair of hooks behind theirs.

    Those are what torch's own registering makes, but with a single handle for all: it makes four objects for each.
    """

    def __init__(self, modules: Iterable[nn.Module], by_hooks: bool) -> None:
        """by_hooks: all are to be reported by hooks, as where copies of modules are called too."""
        self._modules = list(modules)
        self._by_hooks = by_hooks or _has_global_hooks()
        self._hooked: list[nn.Module] = []
        self._called: list[tuple[dict[str, Any], Callable[..., Any]]] = []
        """The attributes of modules, and what was put among them."""
        self._key = RemovableHandle(OrderedDict()).id
        """A number that no other hook has."""

    def put_on(self, observer: Observer, sites: Mapping[str, ModuleSite]) -> None:
        """Have modules tell the observer, each with its site."""
        watched_call = watched_by(observer.module_in, observer.module_out)
        for module, site in zip(self._modules, sites.values(), strict=True):
            if self._by_hooks or not may_be_watched(module):
                self._hook(module, site, observer)
            else:
                # Not by attribute: for each there'd be a look at the class first, and one more in nn.Module.
                own = module.__dict__
                own[INSTEAD] = call = watched_call(module, site)
                self._called.append((own, call))

    def _hook(self, module: nn.Module, site: ModuleSite, observer: Observer) -> None:
        own, key = module.__dict__, self._key
        self._hooked.append(module)
        own["_forward_pre_hooks"][key] = _Hook(observer.module_in, site)
        own["_forward_pre_hooks_with_kwargs"][key] = True
        own["_forward_hooks"][key] = _Hook(observer.module_out, site)

    def take_off(self) -> None:
        """However far they were put on."""
        for own, call in self._called:
            if own.get(INSTEAD) is call:
                # Not deleted: the dict would grow with the next watch, and the next.
                own[INSTEAD] = None
        self._called.clear()
        key = self._key
        for module in self._hooked:
            own = module.__dict__
            own["_forward_hooks"].pop(key, None)
            own["_forward_pre_hooks"].pop(key, None)
            own["_forward_pre_hooks_with_kwargs"].pop(key, None)


class _Hook(partial[Any]):
    """A hook that a copy of its module has not, nor what the hook leads to."""

    def __deepcopy__(self, memo: object) -> Callable[..., None]:
        return _unheard


def _unheard(*_: object) -> None:
    """What stands in a copy for the hook."""


def _has_global_hooks() -> bool:
    """Whether somebody has hooks on all modules."""
    every: Any = torch_module
    return bool(every._has_any_global_hook())
