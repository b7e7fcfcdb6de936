"""Hooks on every module of a model, for the length of one `with`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from torch import nn

from tracetui.models.module_tree import KnownModel, known_model
from tracetui.models.weights.streaming import Reader
from tracetui.tracer.attention.absorbed import absorbing_observed
from tracetui.tracer.deferred.observer import DeferringObserver
from tracetui.tracer.hooks.frames import Frame
from tracetui.tracer.hooks.module_calls import ModuleCalls
from tracetui.tracer.hooks.module_site import ModuleSite, WatchedSites
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recording_observer import RecordingObserver
from tracetui.tracer.hooks.uncompiled import uncompiled
from tracetui.tracer.late_modules import late_modules_noted
from tracetui.tracer.observer import Observer, observing
from tracetui.tracer.replay.layers_alone import LayersAloneObserver


class ModelHooks:
    """Records every tensor that a model's modules return, and has weights made just in time.

    One watched call per module does all in order: make its weights, run, record, drop its weights.
    Whatever way the block is left, every hook is off, and every weight that may not stay is dropped.
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
            sites = self._sites = self._recording.sites(known, watchable, modules)
            if LayersAloneObserver.is_enough(watched):
                self._observer = bare = LayersAloneObserver(self._recording, watched)
                sites = self._sites = bare.sites(sites, modules)
            elif self._recording.may_defer(watchable, sites.values()):
                self._observer = deferring = DeferringObserver(self._recording, watched, known, modules)
                self._depth = deferring.depth
                stack.push(lambda kind, *_: deferring.close(watchable.layers, kind is None))
            drops = isinstance(self._observer, DeferringObserver) and self._recording.drops_weights
            by_hooks = drops or watched.copied or watchable.are_copied or watchable.ask_for_hooks
            calls = ModuleCalls([modules[path] for path in sites], by_hooks)
            stack.callback(calls.take_off)
            stack.enter_context(late_modules_noted(known, watched.recorder))
            calls.put_on(self._observer, sites)
            if drops:
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
