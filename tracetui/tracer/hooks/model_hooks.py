"""Hooks on every module of a model, for the length of one `with`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from tracetui.models.module_tree import KnownModel, known_model
from tracetui.models.weights.streaming import Reader
from tracetui.tracer.attention.absorbed import absorbing_observed
from tracetui.tracer.deferred.observer import DeferringObserver
from tracetui.tracer.deferred.pass_plan import PassPlans
from tracetui.tracer.hooks.frames import Frame
from tracetui.tracer.hooks.module_site import ModuleSite, WatchedSites
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recording_observer import RecordingObserver
from tracetui.tracer.hooks.uncompiled import uncompiled
from tracetui.tracer.late_modules import late_modules_noted
from tracetui.tracer.observer import Observer, observing


class ModelHooks:
    """Records every tensor that a model's modules return, and has weights made just in time.

    One pair of hooks per module does all in order: make its weights, run, record, drop its weights.
    Whatever way the block is left, every hook is off and every weight that may not stay is dropped.
    """

    def __init__(self, model: nn.Module, watched: Pass, known: KnownModel | None = None) -> None:
        """known: the model as it is built now, where somebody has looked a moment ago."""
        self._model = model
        self._known = known
        self._pass = watched
        self._recording = RecordingObserver(model, watched)
        self._observer: Observer = self._recording
        self._sites: Mapping[str, ModuleSite] = {}
        self._depth: Callable[[], int] = lambda: len(watched.frames)
        self._stack = ExitStack()

    def __enter__(self) -> ModelHooks:
        watched = self._pass
        with ExitStack() as stack:
            stack.callback(self._release)
            stack.enter_context(uncompiled())
            if watched.weights is not None:
                reader = Reader(watched.making, lambda: self._depth(), watched.clock.leave_out)
                stack.enter_context(watched.weights.lending(reader))
            known = self._known or known_model(self._model)
            modules, watchable = known.modules, known.once(WatchedSites)
            stack.enter_context(self._recording.ready(known, watchable, modules))
            sites = self._sites = self._recording.sites(watchable, modules)
            if self._recording.may_defer(watchable, sites.values()):
                # What is decided for a single watch may hold on to it.
                plans = known.once(PassPlans) if sites is watchable.sites else PassPlans()
                self._observer = deferring = DeferringObserver(self._recording, watched, modules, plans)
                self._depth = deferring.depth
                stack.push(lambda kind, *_: deferring.close(sites.values(), kind is None))
            hooks = _HookPairs(modules[path] for path in sites)
            stack.callback(hooks.take_off)
            stack.enter_context(late_modules_noted(modules, watched.recorder))
            hooks.put_on(self._observer, sites)
            if self._observer is not self._recording and self._recording.drops_weights:
                stack.enter_context(self._recording.dropping((modules[path] for path in sites), self._depth))
            stack.enter_context(observing(self._observer))
            stack.enter_context(absorbing_observed(known, watched.absorb))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The model's own call has begun already, so that torch won't tell."""
        self._observer.module_in(self._sites[""], self._model, args, kwargs)

    @property
    def running(self) -> tuple[Frame, ...]:
        """The modules that have begun and not ended, outermost first."""
        self._pass.recorder.settle()
        return tuple(self._pass.frames)

    def _release(self) -> None:
        if self._pass.weights is not None:
            for module in self._model.modules():
                self._pass.weights.take_out(module)


class _HookPairs:
    """One pair of hooks for each module.

    What torch's own registering does, but with a single handle for all: it makes four objects for each hook, which for
    a small model cost as much as its recording.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._modules = list(modules)
        self._key = RemovableHandle(OrderedDict()).id
        """A number that no other hook has."""

    def put_on(self, observer: Observer, sites: Mapping[str, ModuleSite]) -> None:
        """Have modules tell the observer, each with its site."""
        key, module_in, module_out = self._key, observer.module_in, observer.module_out
        for module, site in zip(self._modules, sites.values(), strict=True):
            # Not by attribute: for each there'd be a look at the class first, and one more in nn.Module.
            own = module.__dict__
            own["_forward_pre_hooks"][key] = partial(module_in, site)
            own["_forward_pre_hooks_with_kwargs"][key] = True
            own["_forward_hooks"][key] = partial(module_out, site)

    def take_off(self) -> None:
        """However far they were put on."""
        key = self._key
        for module in self._modules:
            own = module.__dict__
            own["_forward_hooks"].pop(key, None)
            own["_forward_pre_hooks"].pop(key, None)
            own["_forward_pre_hooks_with_kwargs"].pop(key, None)
