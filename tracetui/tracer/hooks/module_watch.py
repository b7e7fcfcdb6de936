"""Records what modules are given and what they return, one pair of calls a module: all that is done there, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import get_ident
from time import perf_counter
from typing import Any

import torch
from torch import nn

from tracetui.recording.value import Value
from tracetui.text import visible
from tracetui.tracer.capture.outputs import holds_tensors_alone, kinds_in, tensors_in, unseen, with_others
from tracetui.tracer.capture.readable import is_readable, left_out
from tracetui.tracer.capture.values import is_finite_value
from tracetui.tracer.hooks.bad_weights import bad_weights, with_kinds
from tracetui.tracer.hooks.experts import ExpertWatch
from tracetui.tracer.hooks.frames import Frame
from tracetui.tracer.hooks.module_inputs import given_floats, input_records
from tracetui.tracer.hooks.module_site import ModuleSite
from tracetui.tracer.hooks.pass_context import Pass, weights_there
from tracetui.tracer.lens import Lens
from tracetui.tracer.residual.module_facts import ModuleFacts
from tracetui.tracer.residual.stream import ResidualStream, StreamPoint


class ModuleWatch:
    """The modules of one watched model."""

    def __init__(self, watched: Pass, experts: ExpertWatch, lens: Lens | None) -> None:
        self._pass = watched
        self._frames = watched.frames
        self._recorder = watched.recorder
        self._editor = watched.editor
        self._edits = watched.editor.log
        self._clock = watched.clock
        self._gate = watched.gate
        self._weights = watched.weights
        self.residual = ResidualStream()
        self._experts = experts
        self._lens = lens
        self._seen_whole: set[tuple[type, ...]] = set()
        """The kinds of outputs, and of what is in them, of which nothing was left out."""
        self._thread = get_ident()
        """Of the calls to watch: a model may call parts of itself in others, and another thread the same model."""

    def module_in(
        self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        """A module is about to run: record what it is given, as far as no record holds it."""
        # Another thread that was about to call the hook is given no names once it has been taken off.
        if get_ident() != self._thread or kwargs is None:
            return
        at = self._clock.now()
        floats, starts_with_floats = given_floats(args, kwargs)
        self.begin(site, floats, site.facts.is_leaf or starts_with_floats, at)
        if not self._edits.idle:
            self._editor.given(site.path, args, kwargs)
        for begin in site.begins:
            begin(site.path, module, args, kwargs)

    def module_out(self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """A module has run: record what it returned, as edits leave it, which is what it gives back."""
        if get_ident() != self._thread:
            self._recorder.note("what modules do in threads of the model's own is not recorded")
            return None
        # What the clock says, without asking it: this is the path of every module.
        path, at = site.path, perf_counter() - self._gate.waited - self._clock.uncounted_seconds
        for end in site.ends:
            end(path)
        if site.may_route:
            self._experts.module_out(path, module, output)
        if self._lens is not None:
            with self._clock.uncounted():
                self._lens.returned(path, module, args, output, len(self._frames) - 1)
        tensors = [output] if type(output) is torch.Tensor else self.tensors_of(site, output)
        changed = self.end(site, tensors, path or output_name(output), at, module)
        returned = with_others(output, changed, whole=bool(path)) if changed else None
        if site.may_route:
            self._experts.chose(path, module, output if returned is None else returned)
        return returned

    def remember_vectors(self, modules: Iterable[ModuleFacts]) -> None:
        """From now on the parameters of these are what they are now, and no module need live."""
        self.residual.vectors = {each: [own.detach().clone() for own in each.own()] for each in modules}

    def tensors_of(self, site: ModuleSite, output: Any) -> list[torch.Tensor]:
        """The tensors in what a module returned; what is in it besides, and can't be recorded, is noted."""
        if site.hands_on:
            return []
        if type(output) is torch.Tensor:
            return [output]
        if type(output) is tuple and all(each is None or type(each) is torch.Tensor for each in output):
            return [each for each in output if each is not None]
        if (kinds := kinds_in(output)) is None or kinds not in self._seen_whole:
            if not holds_tensors_alone(output) and (left := unseen(output)):
                name = site.path or output_name(output)
                self._recorder.note(f"{name}: of what it returns, {visible(left, 80)} is not recorded")
            elif kinds is not None:
                self._seen_whole.add(kinds)
        return [self._recorder.local(each) for each in tensors_in(output, whole=bool(site.path))]

    def begin(self, site: ModuleSite, given: Sequence[torch.Tensor], states_first: bool, at: float) -> None:
        """A module began when the clock said `at`, and was given these floating-point tensors.

        states_first: whether the first tensor of all was one.
        """
        path, frames, recorder = site.path, self._frames, self._recorder
        if site.in_layer:
            self._record_stream(self.residual.entering(path, site.facts, given))
        frame = Frame(path, recorder.call_number(path), at)
        frames.append(frame)
        if site.is_layer and (states := [each for each in given if is_readable(each)]):
            recorder.record(site.input_site, states[0], depth=len(frames), parent=path, call=frame.call)
            self.residual.begin(path, site.facts, frame.call, states)
        frame.inputs = input_records(recorder, site, frame, len(frames), given, states_first)

    def end(
        self,
        site: ModuleSite,
        tensors: Sequence[torch.Tensor],
        name: str,
        at: float,
        module: nn.Module | None = None,
        ends_now: bool = True,
    ) -> dict[int, torch.Tensor]:
        """A module ended then and returned these, which are recorded under a name.

        module: if its weights may have to be looked at, or, where it `ends_now`, dropped. Returns what edits have put
        in their places.
        """
        path, frames, recorder = site.path, self._frames, self._recorder
        if site.is_layer:
            self._record_stream(self.residual.ended(path, tensors[0] if tensors else None))
        while (frame := frames.pop()).path != path:
            # Its error was caught: it has begun and will never end.
            pass
        captured, provenance = None, site.provenance
        if tensors and is_readable(tensors[0]):
            if self._edits.idle and not recorder.repeats:
                captured = recorder.capture(name, tensors[0])
            if module is not None and site.has_parameters:
                bad = self._first_bad(captured, tensors)
                provenance = site.provenance if bad is None else self._source(site, name, module, bad)
        if module is not None and ends_now and self._weights is not None:
            self._weights.ended(module, len(frames))
        parent = frames[-1].path if frames else ""
        about = (len(frames), parent, frame.call, at - frame.started, provenance, frame.inputs)
        if captured is None or len(tensors) > 1:
            return dict(self._parts(site, name, tensors, about))
        # Nearly all that there is: one tensor was returned, and no edit stands.
        record = recorder.add(captured, tensors[0], name, *about)
        made = self._editor.late(name, tensors[0], record) if self._edits.edits else tensors[0]
        if site.in_layer and (stream := self.residual.returned(path, site.facts, made, first=True)) is not None:
            self._record_stream(stream)
        return {} if made is tensors[0] else {0: made}

    def _parts(
        self,
        site: ModuleSite,
        name: str,
        tensors: Sequence[torch.Tensor],
        about: tuple[int, str, int, float, str, tuple[int, ...]],
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """The same of several tensors, and under edits."""
        depth, parent, call, seconds, provenance, inputs = about
        for part, tensor in enumerate(tensors):
            if not is_readable(tensor):
                self._recorder.note(left_out(name, tensor))
                continue
            made, _ = self._editor.record(
                name,
                tensor,
                depth=depth,
                parent=parent,
                call=call,
                part=part,
                seconds=seconds,
                provenance=provenance,
                inputs=inputs,
            )
            if site.in_layer:
                self._record_stream(self.residual.returned(site.path, site.facts, made, first=part == 0))
            if made is not tensor:
                yield part, made

    def _first_bad(self, captured: Value | None, tensors: Sequence[torch.Tensor]) -> torch.Tensor | None:
        """The first of the tensors that a module returned of which an element isn't finite."""
        if not (self._recorder.is_finite(tensors[0]) if captured is None else is_finite_value(captured)):
            return tensors[0]
        if len(tensors) == 1:
            return None
        others = (each for each in tensors[1:] if is_readable(each) and each.is_floating_point())
        return next((each for each in others if not self._recorder.is_finite(each)), None)

    def _source(self, site: ModuleSite, name: str, module: nn.Module, output: torch.Tensor) -> str:
        """Where a module's weights came from, with `nan` where its output shows that some of them aren't finite."""
        with weights_there(self._pass, module):
            bad = bad_weights(site.path, module, output, self._weights, self._recorder.has_run)
        if bad is None:
            return site.provenance
        self._recorder.bad_weights(name, bad)
        return with_kinds(site.provenance, bad)

    def _record_stream(self, stream: StreamPoint | None) -> None:
        """Record the residual stream where it is known to stand after attention."""
        if stream is None or not is_readable(stream.tensor):
            return
        site, recorder = f"{stream.layer}:attn_residual", self._recorder
        if recorder.may_record(site, stream.call, 0):
            recorder.record(site, stream.tensor, depth=len(self._frames), parent=stream.layer, call=stream.call)


def output_name(output: object) -> str:
    """The site of what the model itself returns."""
    return "logits" if hasattr(output, "logits") else "output"
