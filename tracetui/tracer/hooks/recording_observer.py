"""The observer that records: what modules, attention kernels and experts report becomes records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from tracetui.models.devices.chosen import CPU
from tracetui.models.module_tree import KnownModel
from tracetui.models.weights.experts import runs_singly
from tracetui.tracer.attention.overhearing import Overhearing
from tracetui.tracer.hooks.attention import AttentionWatch
from tracetui.tracer.hooks.bad_weights import OwnWeights
from tracetui.tracer.hooks.experts import ExpertWatch
from tracetui.tracer.hooks.module_site import Begin, End, ModuleSite, PlacedSites, WatchedSites
from tracetui.tracer.hooks.module_watch import ModuleWatch
from tracetui.tracer.hooks.pass_context import Pass, weights_there
from tracetui.tracer.hooks.recurrence import RecurrenceWatch
from tracetui.tracer.lens import Lens
from tracetui.tracer.ranks.places import Places
from tracetui.tracer.replay.replay_recorder import ReplayRecorder


class RecordingObserver:
    """Of one watch of a model; an Observer, whose parts answer each for its own. Used by the model's thread alone."""

    def __init__(self, model: nn.Module, watched: Pass) -> None:
        self._model = model
        self._pass = watched
        self.experts = experts = ExpertWatch(watched)
        self.attention = attention = AttentionWatch(watched)
        self._recurrence = RecurrenceWatch(watched)
        in_place = partial(weights_there, watched)
        lens = Lens(model, watched.recorder, watched.lens, watched.token, in_place) if watched.lens else None
        self.modules = modules = ModuleWatch(watched, experts, lens)
        self._all_stay = watched.weights is not None and watched.weights.all_stay
        self.decides_nothing = False
        """Whether what is known of modules is the same in each watch."""
        self._stay: set[str] = set()
        """The modules whose weights have been put in place, and stay there for the length of the watch."""
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
        watched.recorder.examine = OwnWeights(watched, model.get_submodule).examine

    @contextmanager
    def ready(self, known: KnownModel, watched: WatchedSites, modules: Mapping[str, nn.Module]) -> Iterator[None]:
        """Ready for these modules of the model, by their paths, for the length of a `with`."""
        recorder = self._pass.recorder
        if recorder.trace.run.parallel is not None and recorder.places is None:
            recorder.places = recorder.snapshots.places = Places(known)
        experts = self.experts.watched(modules) if watched.may_have_experts else nullcontext()
        latents = self._pass.latents.watched(modules.values()) if watched.expand_latents else nullcontext()
        try:
            with experts, latents:
                yield
        finally:
            self._overhearing.close()
            self._recurrence.close()
            self._pass.editor.forget()
            self._pass.recorder.examine = None
            self._pass.recorder.store.copies.let_go()

    def sites(
        self, known: KnownModel, watched: WatchedSites, modules: Mapping[str, nn.Module]
    ) -> Mapping[str, ModuleSite]:
        """What is watched, by its path, with what is decided about it for this watch."""
        weights = self._pass.weights
        plain = not (watched.may_have_experts or watched.attend_themselves or watched.recur)
        if plain and weights is None:
            self.decides_nothing = True
            return watched.sites
        if plain and weights is not None and self._all_stay and weights.are_placed(modules.values()):
            self.decides_nothing = True
            provenance = {path: weights.provenance(modules[path]) for path in watched.sites}
            return known.once(PlacedSites).of(watched.sites, provenance)
        inner = set(_inside_experts(modules)) if watched.may_have_experts else ()
        outer = (path for path in watched.sites if path not in inner)
        return {path: self._site(watched.sites[path], watched, modules[path]) for path in outer}

    def _site(self, site: ModuleSite, watched: WatchedSites, module: nn.Module) -> ModuleSite:
        path, weights = site.path, self._pass.weights
        begins: list[Begin] = []
        ends: list[End] = []
        if self.experts.is_handed_choices(path):
            begins.append(self.experts.entered)
        if self.experts.is_dispatched(path):
            begins.append(self.experts.dispatched)
        if path in watched.attend_themselves:
            begins.append(self._overhearing.begin)
            ends.append(self._overhearing.end)
        if weights is not None and weights.needed_by(module):
            begins.append(self.make_weights)
        if path in watched.recur:
            begins.append(self._recurrence.begin)
            ends.append(self._recurrence.end)
        return replace(
            site,
            provenance="" if weights is None else weights.provenance(module),
            may_route=self.experts.may_route(path),
            begins=tuple(begins),
            ends=tuple(ends),
        )

    def kernel_later(self, *given: object) -> bool:
        """Each call is described before it runs."""
        return False

    def may_defer(self, model: WatchedSites, sites: Iterable[ModuleSite]) -> bool:
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
        if self.drops_weights and watched.weights is not None and watched.weights.device == CPU:
            return False
        if self.drops_weights and model.expand_latents:
            # Their projection is computed with once more.
            return False
        begins = ((), (self.make_weights,))
        return self.decides_nothing or all(not site.ends and site.begins in begins for site in sites)

    @property
    def drops_weights(self) -> bool:
        """Whether weights are put in place for some modules and dropped as these end."""
        return self._pass.weights is not None and not self._all_stay

    @contextmanager
    def dropping(self, modules: Iterable[nn.Module], depth: Callable[[], int]) -> Iterator[None]:
        """Drop weights as modules end, for the length of a `with`: what is described later comes too late for that.

        depth: how many modules are running.
        """
        weights = self._pass.weights
        assert weights is not None

        def ended(module: nn.Module, args: object, output: object) -> None:
            weights.take_out(module)
            if weights.loans:
                weights.take_back(depth())

        with ExitStack() as stack:
            for module in modules:
                stack.callback(module.register_forward_hook(ended).remove)
            yield

    def make_weights(self, path: str, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Put in place what a module lacks of its weights, which is about to run."""
        weights = self._pass.weights
        assert weights is not None
        if path in self._stay:
            return
        if weights.lacks(module):
            with self._pass.clock.uncounted():
                weights.put_in(module, self._pass.making)
        if self._all_stay:
            self._stay.add(path)


def _inside_experts(modules: Mapping[str, nn.Module]) -> Iterator[str]:
    """The paths of modules without weights that each expert runs for itself, as its activation."""
    for path, module in modules.items():
        if runs_singly(module):
            yield from (
                name
                for name, part in module.named_modules(prefix=path)
                if part is not module and not any(True for _ in part.parameters())
            )
