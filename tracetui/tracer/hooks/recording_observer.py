"""The observer that records: what modules, attention kernels and experts report becomes records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from tracetui.models.latent import expansion_of
from tracetui.models.recurrent import kernels_called
from tracetui.recording.record import INPUT
from tracetui.tracer.attention.attends_itself import attends_itself
from tracetui.tracer.attention.overhearing import Overhearing
from tracetui.tracer.hooks.attention import AttentionWatch
from tracetui.tracer.hooks.bad_weights import bad_weights
from tracetui.tracer.hooks.experts import ExpertWatch
from tracetui.tracer.hooks.module_site import ModuleSite
from tracetui.tracer.hooks.module_watch import ModuleWatch
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recurrence import RecurrenceWatch
from tracetui.tracer.lens import Lens
from tracetui.tracer.replay.replay_recorder import ReplayRecorder


class RecordingObserver:
    """Of one watch of a model; an Observer, whose parts answer each for its own. Used by the model's thread alone."""

    def __init__(self, model: nn.Module, watched: Pass) -> None:
        self._model = model
        self._pass = watched
        self.experts = experts = ExpertWatch(watched)
        self.attention = attention = AttentionWatch(watched)
        self._recurrence = RecurrenceWatch(watched)
        lens = Lens(model, watched.recorder, watched.lens, watched.token, self._in_place) if watched.lens else None
        self.modules = modules = ModuleWatch(watched, experts, lens)
        self.module_in, self.module_out = modules.module_in, modules.module_out
        self.kernel_in, self.kernel_step, self.kernel_out = (
            attention.kernel_in,
            attention.kernel_step,
            attention.kernel_out,
        )
        self.latent = attention.latent
        self.experts_in, self.expert_in = experts.experts_in, experts.expert_in
        self.expert_weights, self.expert_out = experts.expert_weights, experts.expert_out
        self._overhearing = Overhearing(attention, attention.unheard)
        watched.recorder.examine = self._examine_own_weights

    @contextmanager
    def ready(self, modules: Mapping[str, nn.Module]) -> Iterator[None]:
        """Ready for these modules of the model, by their paths, for the length of a `with`."""
        try:
            with self.experts.watched(modules), self._pass.latents.watched(modules.values()):
                yield
        finally:
            self._overhearing.close()
            self._recurrence.close()
            self._pass.editor.forget()
            self._pass.recorder.examine = None

    def site(self, path: str, module: nn.Module) -> ModuleSite:
        """What can be decided about a module before it runs."""
        site, weights = ModuleSite.of(path, module), self._pass.weights
        site.may_route = self.experts.may_route(path)
        if weights is not None:
            site.provenance = weights.provenance(module)
        if self.experts.is_handed_choices(path):
            site.begins.append(self.experts.entered)
        if attends_itself(module):
            site.begins.append(self._overhearing.begin)
            site.ends.append(self._overhearing.end)
        if weights is not None and weights.needed_by(module):
            site.begins.append(self._make_weights)
        if kernels_called(module):
            site.begins.append(self._recurrence.begin)
            site.ends.append(self._recurrence.end)
        return site

    def may_defer(self, modules: Mapping[str, nn.Module], sites: Iterable[ModuleSite]) -> bool:
        """Whether what happens here may be described later: nothing reads weights then, or listens between modules."""
        watched = self._pass
        if watched.lens or watched.absorb or torch.is_inference_mode_enabled() or not watched.recorder.keeps_all:
            return False
        if not watched.editor.log.idle or isinstance(watched.recorder, ReplayRecorder):
            # What stands for layers gives tensors that the record knows, not their snapshots.
            return False
        if watched.recorder.arrived != watched.gate.arrived:
            # Somebody else wants to be told of each record.
            return False
        if watched.weights is not None and not watched.weights.all_stay:
            return False
        if any(site.ends or any(begin != self._make_weights for begin in site.begins) for site in sites):
            return False
        return not any(expansion_of(module) is not None for module in modules.values())

    def _make_weights(self, path: str, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        weights = self._pass.weights
        assert weights is not None
        with self._pass.clock.uncounted():
            weights.put_in(module, self._pass.making)

    def _examine_own_weights(self, role: str, made: torch.Tensor) -> None:
        """Whether weights that a module's own code reads made what isn't finite; an input is its caller's work."""
        frames, recorder = self._pass.frames, self._pass.recorder
        above = 2 if role == INPUT else 1
        if len(frames) >= above:
            path = frames[-above].path
            around = self._model.get_submodule(path)
            bad = bad_weights(path, around, made, self._pass.weights, recorder.has_run, anywhere=True)
            if bad is not None:
                recorder.bad_weights(path, bad)

    @contextmanager
    def _in_place(self, module: nn.Module) -> Iterator[None]:
        """A module that isn't running has its weights for the length of a `with`."""
        weights = self._pass.weights
        if weights is None or not weights.needed_by(module):
            yield
            return
        weights.put_in(module, self._pass.making)
        try:
            yield
        finally:
            weights.take_out(module)
