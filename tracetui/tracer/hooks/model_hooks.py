"""Hooks on every module of a model, for the length of one `with`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from tracetui.models.module_tree import modules_of
from tracetui.models.pass_through import PassThrough
from tracetui.models.weights.experts import runs_singly
from tracetui.models.weights.streaming import Reader
from tracetui.tracer.attention.absorbed import absorbing_observed
from tracetui.tracer.hooks.deferring import DeferringObserver
from tracetui.tracer.hooks.frames import Frame
from tracetui.tracer.hooks.module_site import ModuleSite
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recording_observer import RecordingObserver
from tracetui.tracer.hooks.uncompiled import uncompiled
from tracetui.tracer.observer import Observer, observing
from tracetui.tracer.replay.stubs import RecordedLayer


class ModelHooks:
    """Records every tensor that a model's modules return, and has weights made just in time.

    One pair of hooks per module does all in order: make its weights, run, record, drop its weights.
    Whatever way the block is left, every hook is off and every weight that may not stay is dropped.
    """

    def __init__(self, model: nn.Module, watched: Pass) -> None:
        self._model = model
        self._pass = watched
        self._recording = RecordingObserver(model, watched)
        self._observer: Observer = self._recording
        self._depth: Callable[[], int] = lambda: len(watched.frames)
        self._handles: list[RemovableHandle] = []
        self._stack = ExitStack()

    def __enter__(self) -> ModelHooks:
        watched = self._pass
        with ExitStack() as stack:
            stack.callback(self._release)
            stack.enter_context(uncompiled())
            if watched.weights is not None:
                reader = Reader(watched.making, lambda: self._depth(), watched.clock.leave_out)
                stack.enter_context(watched.weights.lending(reader))
            modules = modules_of(self._model)
            stack.enter_context(self._recording.ready(modules))
            sites = self._sites(modules)
            if self._recording.may_defer(modules, sites.values()):
                self._observer = deferring = DeferringObserver(self._recording, watched)
                self._depth = deferring.depth
                stack.push(lambda kind, *_: deferring.close(sites.values(), kind is None))
            stack.callback(self._take_hooks_off)
            self._put_hooks_on(modules, sites)
            stack.enter_context(observing(self._observer))
            stack.enter_context(absorbing_observed(self._model, watched.absorb))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The model's own call has begun already, so that torch won't tell."""
        self._observer.module_in(self._recording.site("", self._model), self._model, args, kwargs)

    @property
    def running(self) -> tuple[Frame, ...]:
        """The modules that have begun and not ended, outermost first."""
        self._pass.recorder.settle()
        return tuple(self._pass.frames)

    def _sites(self, modules: Mapping[str, nn.Module]) -> dict[str, ModuleSite]:
        """What is watched, by its path."""
        inner = set(_inside_experts(modules))
        return {
            path: self._recording.site(path, module)
            for path, module in modules.items()
            if not isinstance(module, PassThrough | RecordedLayer) and path not in inner
        }

    def _put_hooks_on(self, modules: Mapping[str, nn.Module], sites: Mapping[str, ModuleSite]) -> None:
        observer = self._observer
        for path, site in sites.items():
            module = modules[path]
            begins, ends = partial(observer.module_in, site), partial(observer.module_out, site)
            self._handles.append(module.register_forward_pre_hook(begins, with_kwargs=True))
            self._handles.append(module.register_forward_hook(ends))

    def _take_hooks_off(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _release(self) -> None:
        if self._pass.weights is not None:
            for module in self._model.modules():
                self._pass.weights.take_out(module)


def _inside_experts(modules: Mapping[str, nn.Module]) -> Iterator[str]:
    """The paths of modules without weights that each expert runs for itself, as its activation."""
    for path, module in modules.items():
        if runs_singly(module):
            yield from (
                name
                for name, part in module.named_modules(prefix=path)
                if part is not module and not any(True for _ in part.parameters())
            )
