"""Record now, describe later: at a module's or a kernel's end the model's thread keeps no more than what came by.

While nobody waits, and no edit or condition stands, what happened is put in a log, as steps with the numbers of their
tensors' snapshots. `settle` describes them, in order, which makes the same records as doing it at once. Where something
isn't finite, or may have to wait or be changed, it is done at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from threading import get_ident
from time import perf_counter
from typing import Any

import torch
from torch import nn

from tracetui.models.module_tree import KnownModel
from tracetui.tracer.capture.outputs import with_others
from tracetui.tracer.capture.snapshots import NONE
from tracetui.tracer.capture.unwritten import address_of
from tracetui.tracer.deferred import describing as steps
from tracetui.tracer.deferred.attention import DeferredAttention
from tracetui.tracer.deferred.describing import Describing
from tracetui.tracer.deferred.experts import DeferredExperts
from tracetui.tracer.deferred.pass_log import PassLog
from tracetui.tracer.deferred.pass_plan import PassPlans
from tracetui.tracer.deferred.unchanged import UnchangedModules
from tracetui.tracer.hooks.bad_weights import OwnWeights
from tracetui.tracer.hooks.module_inputs import given_floats
from tracetui.tracer.hooks.module_site import ModuleSite
from tracetui.tracer.hooks.module_watch import output_name
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recording_observer import RecordingObserver
from tracetui.tracer.residual.module_facts import ModuleFacts, none


class DeferringObserver:
    """An Observer around the one that records. Used by the model's thread alone."""

    def __init__(
        self, inner: RecordingObserver, watched: Pass, known: KnownModel, living: Mapping[str, nn.Module]
    ) -> None:
        """living: the modules by their paths, for as long as they run."""
        self._modules, self._experts = inner.modules, inner.experts
        self._recorder, self._editor, self._gate = watched.recorder, watched.editor, watched.gate
        self._edits, self._frames, self._clock = watched.editor.log, watched.frames, watched.clock
        self._snapshots = watched.recorder.snapshots
        self._number, self._known = self._snapshots.number, self._snapshots.known
        self._versions, self._addresses = self._snapshots.versions, self._snapshots.addresses
        self._not_finite = self._snapshots.not_finite
        self._describing = Describing(inner, watched, living)
        self._model = known
        # What is decided for a single watch may hold on to it.
        plans = known.once(PassPlans) if inner.decides_nothing else PassPlans()
        self.log = log = PassLog(watched, self._describing, plans)
        self._steps = log.steps
        attention = DeferredAttention(inner.attention, log, watched.latents)
        self.kernel_later, self.kernel_in = attention.kernel_later, attention.kernel_in
        self.kernel_step, self.kernel_out = attention.kernel_step, attention.kernel_out
        self.latent = attention.latent
        experts = DeferredExperts(inner.experts, log, watched.clock)
        self.experts_in, self.expert_in = experts.experts_in, experts.expert_in
        self.expert_weights, self.expert_out = experts.expert_weights, experts.expert_out
        self._watched = watched
        self._given_several: set[ModuleFacts] = set()
        """Modules given more than one tensor: their own parameters may be asked for when that is described."""
        self._thread = get_ident()
        watched.recorder.settle, watched.recorder.pass_over = log.settle, log.pass_over

    def depth(self) -> int:
        """How many modules are running."""
        kinds = self._steps[:: steps.WIDTH]
        began = kinds.count(steps.BEGAN) + kinds.count(steps.BEGAN_WITH)
        return len(self._frames) + began - kinds.count(steps.ENDED) - kinds.count(steps.RETURNED)

    def close(self, layers: Iterable[ModuleFacts], ended_well: bool) -> None:
        """Nothing more comes by. Of a whole call in which all was plain, the log may wait until somebody asks."""
        self._recorder.pass_over = _nothing_to_do
        if not (ended_well and self.log.may_wait and self.log.whole and self.log.is_end_finite()):
            self.log.end() if ended_well else self.log.settle()
            self._recorder.settle = _nothing_to_do
            return
        facts = {*layers, *self._given_several}
        self._modules.remember_vectors(each for each in facts if each.own is not none)
        is_spoilt = partial(bool, self._not_finite)
        self._describing.living = UnchangedModules(self._model, self._watched.are_weights_same, is_spoilt)
        self._recorder.settle, self._recorder.when_asked = _nothing_to_do, self._settle_when_asked
        self._recorder.snapshots.let_go()
        self._watched.latents.forget()

    def _settle_when_asked(self) -> None:
        """Whatever mode the thread is in that asks."""
        self._recorder.examine = OwnWeights(self._watched, self._describing.living.get).examine
        with torch.inference_mode(False), torch.no_grad():
            self.log.settle()
        self._recorder.examine = None
        self._recorder.forget()

    def module_in(
        self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        if get_ident() != self._thread or kwargs is None:
            return
        # What the clock says, without asking it: this is the path of every module.
        at = perf_counter() - self._gate.waited - self._clock.uncounted_seconds
        if self.log.calm and not kwargs and len(args) == 1 and not self._not_finite:
            # Nearly all there is: one tensor, mostly one that came by before, and nobody waits.
            tensor = args[0]
            number = self._known.get(id(tensor), NONE)
            if type(tensor) is not torch.Tensor:
                number = NONE
            elif number == NONE or self._versions[number] != tensor._version:
                number = self._number(tensor)
            elif self._addresses[number] != address_of(tensor):
                # Moved, by a write that its version tells nothing of, or by a look.
                number = self._number(tensor)
            if number != NONE and not self._not_finite:
                self._steps += steps.BEGAN, site, number, at
                for begin in site.begins:
                    begin(site.path, module, args, kwargs)
                return
        self._given(site, module, args, kwargs, at)

    def _given(
        self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], at: float
    ) -> None:
        """The same, whatever it is given."""
        tensors, starts_with_floats = given_floats(args, kwargs)
        self._given_several.add(site.facts)
        numbers = self.log.numbers(tensors)
        states_first = site.facts.is_leaf or starts_with_floats
        recorded = numbers[: site.inputs] if states_first else ()
        if self.log.calm and NONE not in numbers and self._snapshots.are_sound(recorded):
            self._steps += steps.BEGAN_WITH, site, (states_first, *numbers), at
        else:
            self.log.settle()
            self._modules.begin(site, self._snapshots.instead(numbers, tensors), states_first, at)
            if not self._edits.idle:
                self._editor.given(site.path, args, kwargs)
        for begin in site.begins:
            begin(site.path, module, args, kwargs)

    def module_out(self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if get_ident() != self._thread:
            self._recorder.note("what modules do in threads of the model's own is not recorded")
            return None
        at = perf_counter() - self._gate.waited - self._clock.uncounted_seconds
        # Attention returns one tensor beside probabilities that nobody asked for.
        alone = output[0] if type(output) is tuple and len(output) == 2 and output[1] is None else output
        if self.log.calm and type(alone) is torch.Tensor and not (site.may_route or site.hands_on):
            number = self._number(alone)
            if number != NONE and not self._not_finite and self._gate.is_calm and self._edits.idle:
                self._steps += steps.ENDED, site, number, at
                if self._snapshots.unseen_bytes > self.log.looked_after or at > self.log.overdue:
                    self.log.look(at)
                return None
        return self._returned(site, module, output, at)

    def _returned(self, site: ModuleSite, module: nn.Module, output: Any, at: float) -> Any:
        """The same, whatever it returned."""
        tensors = self._modules.tensors_of(site, output)
        numbers, name = self.log.numbers(tensors), site.path or output_name(output)
        if site.may_route:
            self._experts.module_out(site.path, module, output)
        if self.log.takes(numbers) and not (site.may_route and self._experts.is_alone(site.path)):
            self._steps += steps.RETURNED, site, (name, numbers), at
            self.log.look(at)
            return None
        self.log.settle()
        changed = self._modules.end(site, self._snapshots.instead(numbers, tensors), name, at, module)
        for made in changed.values():
            self._snapshots.leave(made)
        returned = with_others(output, changed, whole=bool(site.path)) if changed else None
        if site.may_route:
            self._experts.chose(site.path, module, output if returned is None else returned)
        return returned


def _nothing_to_do() -> None:
    """Nothing is to be described."""
