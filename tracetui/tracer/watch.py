"""Hooks on every module of a model, for the length of one `with`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import get_ident
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from tracetui.expr.stop import Stop
from tracetui.models.experts import ExpertWeights, runs_singly
from tracetui.models.pass_through import PassThrough
from tracetui.models.recurrent import kernels_called
from tracetui.models.slots import Making, Reader, Weights
from tracetui.models.unshown import attends_itself
from tracetui.trace.record import INPUT, Token, is_layer
from tracetui.tracer.absorbed import witnessed_absorbing
from tracetui.tracer.attention_watch import AttentionWatch
from tracetui.tracer.bad_weights import bad_weights, with_kinds
from tracetui.tracer.edits import Editor
from tracetui.tracer.expert_watch import ExpertWatch
from tracetui.tracer.frames import Frame
from tracetui.tracer.lens import Lens
from tracetui.tracer.mla import Latents
from tracetui.tracer.module_inputs import ModuleInputs
from tracetui.tracer.outputs import tensors_in, with_others
from tracetui.tracer.overhearing import Overhearing
from tracetui.tracer.readable import is_readable, unreadable
from tracetui.tracer.recorder import Recorder
from tracetui.tracer.recurrence_watch import RecurrenceWatch
from tracetui.tracer.residual_stream import ResidualStream, Stream
from tracetui.tracer.sources import float_tensors
from tracetui.tracer.stubs import RecordedLayer

Given = tuple[tuple[Any, ...], dict[str, Any]]
PreHook = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Given | None]
PostHook = Callable[[nn.Module, tuple[Any, ...], Any], Any]


class Watch:
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
        self._waited = waited
        self._frames: list[Frame] = []
        self._handles: list[RemovableHandle] = []
        self._made_seconds = 0.0
        self._editor = editor or Editor(recorder)
        self._residual = ResidualStream()
        self._latents, self._absorb = latents or Latents(), absorb
        self._attention = AttentionWatch(
            self._frames,
            recorder,
            self._editor,
            self._latents,
            absorb=absorb,
            stops=stops,
            uncounted=self._uncounted,
        )
        self._overhearing = Overhearing(self._attention, self._attention.unheard)
        recorder.examine = self._examine_own_weights
        self._recurrence = RecurrenceWatch(self._frames, recorder, self._uncounted)
        told = (self._read_expert, self._clock, self._provenance)
        self._experts = ExpertWatch(self._frames, recorder, self._editor, *told)
        self._lens = Lens(model, recorder, lens, token, self._in_place) if lens else None
        self._stack = ExitStack()
        self._thread = get_ident()
        """Of the calls to watch: a model may call parts of itself in others, and another thread the same model."""

    def __enter__(self) -> Watch:
        with ExitStack() as stack:
            stack.callback(self._release)
            if self._weights is not None:
                stack.enter_context(self._weights.lending(Reader(self._making, lambda: len(self._frames), self._spent)))
            stack.callback(self._take_hooks_off)
            modules = dict(self._model.named_modules())
            inner = set(_inside_experts(modules))
            for path, module in modules.items():
                if not isinstance(module, PassThrough | RecordedLayer) and path not in inner:
                    self._handles.append(
                        module.register_forward_pre_hook(self._pre_hook(path, module), with_kwargs=True)
                    )
                    self._handles.append(module.register_forward_hook(self._post_hook(path, module)))
            stack.callback(self._overhearing.close)
            stack.callback(self._recurrence.close)
            stack.callback(self._editor.forget)
            stack.enter_context(self._latents.watched(modules.values()))
            stack.enter_context(self._experts.watched(modules))
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
        self._pre_hook("", self._model)(self._model, args, kwargs)

    @property
    def running(self) -> tuple[Frame, ...]:
        """The modules that have begun and not ended, outermost first."""
        return tuple(self._frames)

    def _take_hooks_off(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _release(self) -> None:
        if self._weights is not None:
            for module in self._model.modules():
                self._weights.take_out(module)

    def _clock(self) -> float:
        """Seconds of the model's own work: neither waiting at a stop nor making weights counts."""
        return time.perf_counter() - self._waited() - self._made_seconds

    @contextmanager
    def _uncounted(self) -> Iterator[None]:
        """Around work that is tracetui's own."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._made_seconds += time.perf_counter() - began

    def _pre_hook(self, path: str, module: nn.Module) -> PreHook:
        frames, recorder, weights, clock = self._frames, self._recorder, self._weights, self._clock
        editor = self._editor
        has_weights = weights is not None and weights.needed_by(module)
        layer, residual = is_layer(path), self._residual
        inputs = ModuleInputs(recorder, path, module)
        overheard, recurrent = attends_itself(module), bool(kernels_called(module))

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Given | None:
            # Another thread that was about to call the hook is given no names once it has been taken off.
            if get_ident() != self._thread or kwargs is None:
                return None
            given = float_tensors(args, kwargs)
            self._record_stream(residual.entering(path, module, given))
            frames.append(Frame(path, recorder.call_number(path), clock()))
            if layer and (states := [each for each in given if is_readable(each)]):
                recorder.record(f"{path}:input", states[0], depth=len(frames), parent=path, call=frames[-1].call)
                residual.begin(path, module, frames[-1].call, states)
            frames[-1].inputs = inputs.look(frames[-1], len(frames), args, kwargs, given)
            editor.given(path, args, kwargs)
            self._experts.entered(path, module, args, kwargs)
            if overheard:
                self._overhearing.begin(path, module, args, kwargs)
            if has_weights:
                self._make_weights(module)
            if recurrent:
                self._recurrence.begin(path, module, args, kwargs)
            return None

        return before

    def _examine_own_weights(self, role: str, made: torch.Tensor) -> None:
        """Whether weights that a module's own code reads made what isn't finite; an input is its caller's work."""
        above = 2 if role == INPUT else 1
        if len(self._frames) >= above:
            path = self._frames[-above].path
            around = self._model.get_submodule(path)
            bad = bad_weights(path, around, made, self._weights, self._recorder.has_run, anywhere=True)
            if bad is not None:
                self._recorder.bad_weights(path, bad)

    def _record_stream(self, stream: Stream | None) -> None:
        """Record the residual stream where it is known to stand after attention."""
        if stream is not None and is_readable(stream.tensor):
            site = f"{stream.layer}:attn_residual"
            if self._recorder.may_record(site, stream.call, 0):
                depth = len(self._frames)
                self._recorder.record(site, stream.tensor, depth=depth, parent=stream.layer, call=stream.call)

    def _make_weights(self, module: nn.Module) -> None:
        assert self._weights is not None
        began = time.perf_counter()
        try:
            self._weights.put_in(module, self._making)
        finally:
            self._spent(time.perf_counter() - began)

    def _spent(self, seconds: float) -> None:
        """Of the time that a module took, what isn't its own work."""
        self._made_seconds += seconds

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
        began = time.perf_counter()
        try:
            return self._weights.of_expert(module, expert, self._making)
        finally:
            self._made_seconds += time.perf_counter() - began

    def _provenance(self, module: nn.Module, expert: int | None = None) -> str:
        return self._weights.provenance(module, expert) if self._weights is not None else ""

    def _source(self, site: str, path: str, module: nn.Module, output: torch.Tensor | None, provenance: str) -> str:
        """Where a module's weights came from, with `nan` where its output shows that some of them are not finite."""
        if not is_readable(output) or self._recorder.is_finite(output):
            return provenance
        bad = bad_weights(path, module, output, self._weights, self._recorder.has_run)
        if bad is None:
            return provenance
        self._recorder.bad_weights(site, bad)
        return with_kinds(provenance, bad)

    def _post_hook(self, path: str, module: nn.Module) -> PostHook:
        frames, weights, clock = self._frames, self._weights, self._clock
        provenance, experts, editor = self._provenance(module), self._experts, self._editor
        attended = self._overhearing.end if attends_itself(module) else _nothing
        recurred = self._recurrence.end if kernels_called(module) else _nothing
        residual = self._residual

        def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if get_ident() != self._thread:
                self._recorder.note("what modules do in threads of the model's own is not recorded")
                return None
            attended(path)
            recurred(path)
            while (frame := frames.pop()).path != path:
                # Its error was caught: it has begun and will never end.
                pass
            seconds = clock() - frame.started
            experts.returned(path, module, output)
            if self._lens is not None:
                began = clock()
                self._lens.returned(path, module, args, output, len(frames))
                self._made_seconds += clock() - began
            site = path or _root_site(output)
            source = self._source(site, path, module, next(tensors_in(output, whole=bool(path)), None), provenance)
            if weights is not None:
                weights.ended(module, len(frames))
            parent = frames[-1].path if frames else ""
            changed: dict[int, torch.Tensor] = {}
            for part, tensor in enumerate(tensors_in(output, whole=bool(path))):
                if not is_readable(tensor):
                    self._recorder.note(f"{site}: {unreadable(tensor)}, and is not recorded")
                    continue
                made, _ = editor.record(
                    site,
                    tensor,
                    depth=len(frames),
                    parent=parent,
                    call=frame.call,
                    part=part,
                    seconds=seconds,
                    provenance=source,
                    inputs=frame.inputs,
                )
                self._record_stream(residual.returned(path, made))
                if made is not tensor:
                    changed[part] = made
            made_output = with_others(output, changed, whole=bool(path)) if changed else None
            experts.chose(path, module, output if made_output is None else made_output)
            return made_output

        return after


def _nothing(path: str) -> None:
    """What ends with a module that doesn't attend by itself."""


def _inside_experts(modules: Mapping[str, nn.Module]) -> Iterator[str]:
    """The paths of modules without weights that each expert runs for itself, as its activation."""
    for path, module in modules.items():
        if runs_singly(module):
            yield from (
                name
                for name, part in module.named_modules(prefix=path)
                if part is not module and not any(True for _ in part.parameters())
            )


def _root_site(output: Any) -> str:
    return "logits" if hasattr(output, "logits") else "output"
