"""Hooks on every module of a model, for the length of one `with`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import get_ident
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from tracetui.expr.stop import Stop
from tracetui.models.module_tree import modules_of
from tracetui.models.pass_through import PassThrough
from tracetui.models.weights.experts import ExpertWeights, runs_singly
from tracetui.models.weights.streaming import Making, Reader, Weights
from tracetui.recording.record import INPUT, Token
from tracetui.tracer.attention.absorbed import witnessed_absorbing
from tracetui.tracer.attention.mla import Latents
from tracetui.tracer.attention.overhearing import Overhearing
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.hooks.attention import AttentionWatch
from tracetui.tracer.hooks.bad_weights import bad_weights
from tracetui.tracer.hooks.experts import ExpertWatch
from tracetui.tracer.hooks.frames import Frame
from tracetui.tracer.hooks.module_hooks import ModuleHooks, Watching
from tracetui.tracer.hooks.recurrence import RecurrenceWatch
from tracetui.tracer.hooks.uncompiled import uncompiled
from tracetui.tracer.hooks.work_clock import WorkClock
from tracetui.tracer.lens import Lens
from tracetui.tracer.replay.stubs import RecordedLayer
from tracetui.tracer.residual.stream import ResidualStream


class ModelHooks:
    """Records every tensor that a model's modules return, and has weights made just in time.

    One pair of hooks per module does all in order: make its weights, run, record, drop its weights.
    Whatever way the block is left, every hook is off and every weight that may not stay is dropped.
    """

    def __init__(
        self,
        model: nn.Module,
        recorder: Recorder,
        *,
        weights: Weights | None = None,
        making: Making = lambda name, done, total: None,
        waited: Callable[[], float] = lambda: 0.0,
        absorb: bool = False,
        latents: Latents | None = None,
        lens: int = 0,
        token: Callable[[int], Token] = lambda token_id: Token(token_id, b""),
        editor: Editor | None = None,
        stops: Callable[[], Sequence[Stop]] = lambda: (),
    ) -> None:
        """absorb: compute latent attention from its latent. latents: of the passes that came before.

        lens: how many tokens each layer's residual would predict, at every place.
        token: what an id stands for. editor: changes what passes by. stops: those that stand now.
        """
        self._model = model
        self._recorder = recorder
        self._weights = weights
        self._making = making
        self._clock = WorkClock(waited)
        self._frames: list[Frame] = []
        self._handles: list[RemovableHandle] = []
        self._editor = editor or Editor(recorder)
        self._latents, self._absorb = latents or Latents(), absorb
        self._attention = AttentionWatch(
            self._frames,
            recorder,
            self._editor,
            self._latents,
            absorb=absorb,
            stops=stops,
            uncounted=self._clock.uncounted,
        )
        self._overhearing = Overhearing(self._attention, self._attention.unheard)
        recorder.examine = self._examine_own_weights
        self._recurrence = RecurrenceWatch(self._frames, recorder, self._clock.uncounted)
        self._experts = ExpertWatch(
            self._frames, recorder, self._editor, self._read_expert, self._clock.now, self._provenance
        )
        self._lens = Lens(model, recorder, lens, token, self._in_place) if lens else None
        self._stack = ExitStack()
        self._watching = self._shared()

    def _shared(self) -> Watching:
        """What the hooks of all modules share."""
        return Watching(
            frames=self._frames,
            recorder=self._recorder,
            editor=self._editor,
            clock=self._clock,
            residual=ResidualStream(),
            experts=self._experts,
            overhearing=self._overhearing,
            recurrence=self._recurrence,
            lens=self._lens,
            weights=self._weights,
            making=self._making,
            thread=get_ident(),
        )

    def __enter__(self) -> ModelHooks:
        with ExitStack() as stack:
            stack.callback(self._release)
            stack.enter_context(uncompiled())
            if self._weights is not None:
                reader = Reader(self._making, lambda: len(self._frames), self._clock.leave_out)
                stack.enter_context(self._weights.lending(reader))
            modules = modules_of(self._model)
            stack.enter_context(self._experts.watched(modules))
            stack.callback(self._take_hooks_off)
            self._put_hooks_on(modules)
            stack.callback(self._overhearing.close)
            stack.callback(self._recurrence.close)
            stack.callback(self._editor.forget)
            stack.enter_context(self._latents.watched(modules.values()))
            absorbing = self._latents if self._absorb else None
            stack.enter_context(witnessed_absorbing(self._model, self._attention, absorbing))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The model's own call has begun already, so that torch won't tell."""
        ModuleHooks("", self._model, self._watching).before(self._model, args, kwargs)

    @property
    def running(self) -> tuple[Frame, ...]:
        """The modules that have begun and not ended, outermost first."""
        return tuple(self._frames)

    def _put_hooks_on(self, modules: Mapping[str, nn.Module]) -> None:
        inner = set(_inside_experts(modules))
        for path, module in modules.items():
            if not isinstance(module, PassThrough | RecordedLayer) and path not in inner:
                hooks = ModuleHooks(path, module, self._watching)
                self._handles.append(module.register_forward_pre_hook(hooks.before, with_kwargs=True))
                self._handles.append(module.register_forward_hook(hooks.after))

    def _take_hooks_off(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _release(self) -> None:
        if self._weights is not None:
            for module in self._model.modules():
                self._weights.take_out(module)

    def _examine_own_weights(self, role: str, made: torch.Tensor) -> None:
        """Whether weights that a module's own code reads made what isn't finite; an input is its caller's work."""
        above = 2 if role == INPUT else 1
        if len(self._frames) >= above:
            path = self._frames[-above].path
            around = self._model.get_submodule(path)
            bad = bad_weights(path, around, made, self._weights, self._recorder.has_run, anywhere=True)
            if bad is not None:
                self._recorder.bad_weights(path, bad)

    @contextmanager
    def _in_place(self, module: nn.Module) -> Iterator[None]:
        """A module that isn't running has its weights for the length of a `with`."""
        if self._weights is None or not self._weights.needed_by(module):
            yield
            return
        self._weights.put_in(module, self._making)
        try:
            yield
        finally:
            self._weights.take_out(module)

    def _read_expert(self, module: nn.Module, expert: int) -> ExpertWeights | None:
        if self._weights is None:
            return None
        with self._clock.uncounted():
            return self._weights.of_expert(module, expert, self._making)

    def _provenance(self, module: nn.Module, expert: int | None = None) -> str:
        return self._weights.provenance(module, expert) if self._weights is not None else ""


def _inside_experts(modules: Mapping[str, nn.Module]) -> Iterator[str]:
    """The paths of modules without weights that each expert runs for itself, as its activation."""
    for path, module in modules.items():
        if runs_singly(module):
            yield from (
                name
                for name, part in module.named_modules(prefix=path)
                if part is not module and not any(True for _ in part.parameters())
            )
