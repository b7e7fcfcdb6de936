"""What is done when a module begins, and when it has ended: all of it, in order, in one pair of hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import torch
from torch import nn

from tracetui.models.module_tree import has_parameters
from tracetui.models.recurrent import kernels_called
from tracetui.models.weights.streaming import Making, Weights
from tracetui.recording.record import is_layer, layer_path
from tracetui.text import visible
from tracetui.tracer.attention.attends_itself import attends_itself
from tracetui.tracer.attention.overhearing import Overhearing
from tracetui.tracer.capture.outputs import tensors_in, unseen, with_others
from tracetui.tracer.capture.readable import is_readable, left_out
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.hooks.bad_weights import bad_weights, with_kinds
from tracetui.tracer.hooks.experts import ExpertWatch
from tracetui.tracer.hooks.frames import Frame
from tracetui.tracer.hooks.module_inputs import ModuleInputs, float_tensors
from tracetui.tracer.hooks.recurrence import RecurrenceWatch
from tracetui.tracer.hooks.work_clock import WorkClock
from tracetui.tracer.lens import Lens
from tracetui.tracer.residual.stream import ResidualStream, StreamPoint

_Begin = Callable[[str, nn.Module, tuple[Any, ...], dict[str, Any]], None]
_End = Callable[[str], None]


@dataclass(frozen=True, eq=False, slots=True)
class Watching:
    """What the hooks of all modules of one model share."""

    frames: list[Frame]
    """The modules that run, outermost first."""
    recorder: Recorder
    editor: Editor
    clock: WorkClock
    residual: ResidualStream
    experts: ExpertWatch
    overhearing: Overhearing
    recurrence: RecurrenceWatch
    lens: Lens | None
    weights: Weights | None
    making: Making
    thread: int
    """Of the calls to watch: a model may call parts of itself in others, and another thread the same model."""


class ModuleHooks:
    """The two hooks of one module. What can be told before the module runs is told when they are made."""

    def __init__(self, path: str, module: nn.Module, watching: Watching) -> None:
        self._path = path
        self._watching = watching
        self._is_layer, self._in_layer = is_layer(path), bool(layer_path(path))
        self._inputs = ModuleInputs(watching.recorder, path, module)
        weights = watching.weights
        self._provenance = weights.provenance(module) if weights is not None else ""
        self._begins: list[_Begin] = []
        self._ends: list[_End] = []
        if watching.experts.is_handed_choices(path):
            self._begins.append(watching.experts.entered)
        if attends_itself(module):
            self._begins.append(watching.overhearing.begin)
            self._ends.append(watching.overhearing.end)
        if weights is not None and weights.needed_by(module):
            self._begins.append(self._make_weights)
        if kernels_called(module):
            self._begins.append(watching.recurrence.begin)
            self._ends.append(watching.recurrence.end)
        self._has_parameters = has_parameters(module)
        self._may_route = watching.experts.may_route(path)

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> None:
        """The module is about to run."""
        watching, path = self._watching, self._path
        # Another thread that was about to call the hook is given no names once it has been taken off.
        if get_ident() != watching.thread or kwargs is None:
            return
        frames, recorder = watching.frames, watching.recorder
        given = float_tensors(args, kwargs)
        if self._in_layer:
            self._record_stream(watching.residual.entering(path, module, given))
        frame = Frame(path, recorder.call_number(path), watching.clock.now())
        frames.append(frame)
        if self._is_layer and (states := [each for each in given if is_readable(each)]):
            recorder.record(f"{path}:input", states[0], depth=len(frames), parent=path, call=frame.call)
            watching.residual.begin(path, module, frame.call, states)
        frame.inputs = self._inputs.look(frame, len(frames), args, kwargs, given)
        if not watching.editor.idle:
            watching.editor.given(path, args, kwargs)
        for begin in self._begins:
            begin(path, module, args, kwargs)

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """The module has run. Returns what it shall give back instead, if edits say so."""
        watching, path = self._watching, self._path
        if get_ident() != watching.thread:
            watching.recorder.note("what modules do in threads of the model's own is not recorded")
            return None
        frames = watching.frames
        for end in self._ends:
            end(path)
        if self._is_layer:
            self._record_stream(watching.residual.ended(path, output))
        while (frame := frames.pop()).path != path:
            # Its error was caught: it has begun and will never end.
            pass
        seconds = watching.clock.now() - frame.started
        if self._may_route:
            watching.experts.returned(path, module, output)
        if watching.lens is not None:
            with watching.clock.uncounted():
                watching.lens.returned(path, module, args, output, len(frames))
        changed = self._record(module, output, frame, seconds)
        if self._may_route:
            watching.experts.chose(path, module, output if changed is None else changed)
        return changed

    def _record(self, module: nn.Module, output: Any, frame: Frame, seconds: float) -> Any:
        """Record what the module returned. Returns the same as edits leave it; None without any."""
        watching, path = self._watching, self._path
        frames = watching.frames
        site = path or ("logits" if hasattr(output, "logits") else "output")
        tensors = list(tensors_in(output, whole=bool(path)))
        if left := unseen(output):
            watching.recorder.note(f"{site}: of what it returns, {visible(left, 80)} is not recorded")
        source = self._source(site, module, tensors[0]) if tensors and self._has_parameters else self._provenance
        if watching.weights is not None:
            watching.weights.ended(module, len(frames))
        parent = frames[-1].path if frames else ""
        changed: dict[int, torch.Tensor] = {}
        for part, tensor in enumerate(tensors):
            if not is_readable(tensor):
                watching.recorder.note(left_out(site, tensor))
                continue
            made, _ = watching.editor.record(
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
            if self._in_layer:
                self._record_stream(watching.residual.returned(path, module, made, first=part == 0))
            if made is not tensor:
                changed[part] = made
        return with_others(output, changed, whole=bool(path)) if changed else None

    def _source(self, site: str, module: nn.Module, output: torch.Tensor) -> str:
        """Where the module's weights came from, with `nan` where its output shows that some of them aren't finite."""
        recorder = self._watching.recorder
        if not is_readable(output) or recorder.is_finite(output):
            return self._provenance
        bad = bad_weights(self._path, module, output, self._watching.weights, recorder.has_run)
        if bad is None:
            return self._provenance
        recorder.bad_weights(site, bad)
        return with_kinds(self._provenance, bad)

    def _record_stream(self, stream: StreamPoint | None) -> None:
        """Record the residual stream where it is known to stand after attention."""
        if stream is None or not is_readable(stream.tensor):
            return
        site, recorder = f"{stream.layer}:attn_residual", self._watching.recorder
        if recorder.may_record(site, stream.call, 0):
            depth = len(self._watching.frames)
            recorder.record(site, stream.tensor, depth=depth, parent=stream.layer, call=stream.call)

    def _make_weights(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        weights = self._watching.weights
        assert weights is not None
        with self._watching.clock.uncounted():
            weights.put_in(module, self._watching.making)
