"""Record now, describe later: at a module's or a kernel's end the model's thread keeps no more than what came by.

While nobody waits, and no edit or condition stands, what happened is put in a log, as steps with the numbers of their
tensors' snapshots. `settle` describes them, in order, which makes the same records as doing it at once. Where something
isn't finite, or may have to wait or be changed, it is done at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import get_ident
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tracetui.recording.record import AttentionCall
from tracetui.tracer.attention.explicit import Show
from tracetui.tracer.attention.kernel_call import KernelCall
from tracetui.tracer.attention.plain_calls import ANY_MODULE, PlainCalls
from tracetui.tracer.capture import snapshots
from tracetui.tracer.capture.outputs import with_others
from tracetui.tracer.capture.snapshots import NONE
from tracetui.tracer.deferred import describing as steps
from tracetui.tracer.deferred.describing import DescribedKernel, Describing, Log
from tracetui.tracer.deferred.pass_plan import PassPlans
from tracetui.tracer.hooks.module_inputs import begins_with_floats, float_tensors
from tracetui.tracer.hooks.module_site import ModuleSite
from tracetui.tracer.hooks.module_watch import output_name
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recording_observer import RecordingObserver
from tracetui.tracer.observer import Choice
from tracetui.tracer.residual.module_facts import ModuleFacts, none

if TYPE_CHECKING:
    from tracetui.models.weights.experts import ExpertWeights
    from tracetui.tracer.attention.mla import LatentCall

_PATIENCE = 0.2
"""Seconds for which nobody need hear how far the model is: most passes are over by then, and described whole."""


class DeferringObserver:
    """An Observer around the one that records. Used by the model's thread alone."""

    def __init__(
        self, inner: RecordingObserver, watched: Pass, living: Mapping[str, nn.Module], plans: PassPlans
    ) -> None:
        """living: the modules by their paths, for as long as they run. plans: of passes that were described before."""
        self._modules, self._attention, self._experts = inner.modules, inner.attention, inner.experts
        self._recorder = watched.recorder
        self._editor, self._edits = watched.editor, watched.editor.log
        self._gate = watched.gate
        self._frames = watched.frames
        self._clock = watched.clock
        self._snapshots = watched.recorder.snapshots
        self._snapshots.look(watched.looks_late, lambda: bool(watched.gate.stops))
        self._number, self._known = self._snapshots.number, self._snapshots.known
        self._versions, self._not_finite = self._snapshots.versions, self._snapshots.not_finite
        self._now = watched.clock.now
        self._describing = Describing(inner, watched, living)
        self._plans = plans
        self._log: Log = []
        self._next_notice = self._overdue = self._now() + _PATIENCE if watched.gate.notices else math.inf
        """When to tell how far the model is: at the end of a pass, or in the midst of one that takes long."""
        self._calm = self._is_calm()
        """Whether it was so a moment ago."""
        self._plain_calls = PlainCalls()
        self._shows_steps = False
        self._experts_stand_in = False
        self._may_wait = watched.describes_when_asked and watched.weights is None
        self._whole = True
        """Whether all that came by is still in the log, and nothing in it may leave a note."""
        self._given_several: set[ModuleFacts] = set()
        """Modules given more than one tensor: their own parameters may be asked for when that is described."""
        self._thread = get_ident()
        watched.recorder.settle = self.settle

    def settle(self) -> None:
        """Describe what has been recorded since; nobody waits there."""
        log, self._log = self._log, []
        if not log:
            return
        self._whole = False
        began = self._now()
        finite = self._snapshots.are_finite()
        if self._snapshots.are_on_a_device:
            self._modules.residual.value_questions.at_hand = self._snapshots.at_hand
        try:
            with self._recorder.passing(self._gate.passed):
                self._plans.describe(log, self._describing, finite)
        finally:
            self._clock.leave_out(self._now() - began)
        if began > self._next_notice:
            self._notice()

    def _notice(self) -> None:
        """Tell how far the model is, if anybody hears it."""
        if self._gate.is_notice_due:
            self.settle()
            self._gate.notice(self._recorder.count)
        self._next_notice = self._now() + _PATIENCE
        self._overdue = self._next_notice + _PATIENCE

    def depth(self) -> int:
        """How many modules are running."""
        kinds = self._log[:: steps.WIDTH]
        began = kinds.count(steps.BEGAN) + kinds.count(steps.BEGAN_WITH)
        return len(self._frames) + began - kinds.count(steps.ENDED) - kinds.count(steps.RETURNED)

    def close(self, sites: Iterable[ModuleSite], ended_well: bool) -> None:
        """Nothing more comes by. Of a whole call in which all was plain, the log may wait until somebody asks."""
        if not (ended_well and self._may_wait and self._whole and self._snapshots.are_finite()):
            self.settle()
            self._recorder.settle = _nothing_to_do
            return
        facts = {site.facts for site in sites if site.is_layer} | self._given_several
        self._modules.remember_vectors(each for each in facts if each.own is not none)
        self._describing.living = {}
        self._recorder.settle, self._recorder.when_asked = _nothing_to_do, self._settle_when_asked
        self._recorder.snapshots.let_go()

    def _settle_when_asked(self) -> None:
        """Whatever mode the thread is in that asks."""
        with torch.inference_mode(False), torch.no_grad():
            self.settle()
        self._recorder.forget()

    def _look(self, at: float) -> None:
        """Describe what came by, and who made what in it isn't finite, if anything isn't."""
        if self._snapshots.unseen_bytes > snapshots.LOOKED_AT and not self._snapshots.are_finite():
            self.settle()
        if at > self._overdue:
            self._notice()

    def _is_calm(self) -> bool:
        """Whether nobody may wait at what comes by now, or change it."""
        self._calm = self._gate.is_calm and self._edits.idle and not self._recorder.repeats
        return self._calm

    def module_in(
        self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        if get_ident() != self._thread or kwargs is None:
            return
        # What the clock says, without asking it: this is the path of every module.
        at = perf_counter() - self._gate.waited - self._clock.uncounted_seconds
        if self._calm and not kwargs and len(args) == 1 and not self._not_finite:
            # Nearly all there is: one tensor, mostly one that came by before, and nobody waits.
            tensor = args[0]
            number = self._known.get(id(tensor), NONE)
            if number == NONE or self._versions[number] != tensor._version:
                number = self._number(tensor) if type(tensor) is torch.Tensor else NONE
            if number != NONE and not self._not_finite:
                self._log += steps.BEGAN, site, number if tensor.is_floating_point() else steps.NOTHING, at
                for begin in site.begins:
                    begin(site.path, module, args, kwargs)
                return
        self._given(site, module, args, kwargs, at)

    def _given(
        self, site: ModuleSite, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], at: float
    ) -> None:
        """The same, whatever it is given."""
        tensors = float_tensors(args, kwargs)
        self._given_several.add(site.facts)
        numbers = tuple(map(self._number, tensors))
        states_first = site.facts.is_leaf or begins_with_floats(args, kwargs)
        recorded = numbers[: site.inputs] if states_first else ()
        if self._calm and NONE not in numbers and self._snapshots.are_sound(recorded):
            self._log += steps.BEGAN_WITH, site, (states_first, *numbers), at
        else:
            self.settle()
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
        if self._calm and type(output) is torch.Tensor and not site.may_route:
            number = self._number(output)
            if number != NONE and not self._not_finite and self._gate.is_calm and self._edits.idle:
                self._log += steps.ENDED, site, number, at
                if self._snapshots.unseen_bytes > snapshots.LOOKED_AT or at > self._overdue:
                    self._look(at)
                return None
        return self._returned(site, module, output, at)

    def _returned(self, site: ModuleSite, module: nn.Module, output: Any, at: float) -> Any:
        """The same, whatever it returned."""
        tensors = self._modules.tensors_of(site, output)
        numbers, name = tuple(map(self._number, tensors)), site.path or output_name(output)
        if self._is_calm() and self._snapshots.are_sound(numbers) and not site.may_route:
            self._log += steps.RETURNED, site, (name, numbers), at
            self._look(at)
            return None
        self.settle()
        if site.may_route:
            self._experts.module_out(site.path, module, output)
        changed = self._modules.end(site, self._snapshots.instead(numbers, tensors), name, at, module)
        for made in changed.values():
            self._snapshots.leave(made)
        returned = with_others(output, changed, whole=bool(site.path)) if changed else None
        if site.may_route:
            self._experts.chose(site.path, module, output if returned is None else returned)
        return returned

    def kernel_later(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        arguments: dict[str, Any],
    ) -> bool:
        about = self._plain_calls.parameters(module, arguments)
        if about is None or not self._is_calm():
            return False
        numbers = tuple(map(self._number, (query, key, value) if mask is None else (query, key, value, mask)))
        if not self._snapshots.are_sound(numbers):
            return False
        self._log += steps.KERNEL_BEGAN, about, numbers, 0.0
        return True

    def kernel_in(self, call: KernelCall, describe: Callable[[], AttentionCall]) -> KernelCall:
        tensors = [call.query, call.key, call.value, *(() if call.mask is None else (call.mask,))]
        numbers = tuple(map(self._number, tensors))
        beside = call.own is not None or call.sinks is not None or call.position_bias is not None
        self._shows_steps = not self._is_calm() or beside or not self._snapshots.are_sound(numbers)
        if not self._shows_steps:
            described = describe()
            plain = described.kernel == "sdpa" and not described.unexplained
            self._whole = self._whole and plain
            # Of the module no more than its class is asked, for remarks on what isn't plain.
            module, arguments = (ANY_MODULE, {}) if plain else (call.module, call.arguments)
            self._log += steps.KERNEL_DESCRIBED, DescribedKernel(module, arguments, described), numbers, 0.0
            return call
        self.settle()
        query, key, value, *mask = self._snapshots.instead(numbers, tensors)
        seen = KernelCall(call.module, query, key, value, next(iter(mask), None), call.arguments, call.own)
        made = self._attention.kernel_in(seen, describe)
        if made is seen:
            return call
        changed = {role: getattr(made, role) for role in ("query", "key", "value")}
        return replace(call, **{role: new for role, new in changed.items() if new is not getattr(seen, role)})

    def kernel_step(self, call: KernelCall) -> Show | None:
        return self._attention.kernel_step(call) if self._shows_steps else None

    def kernel_out(self, heads: torch.Tensor) -> torch.Tensor:
        number = self._number(heads)
        if self._is_calm() and self._snapshots.are_sound((number,)):
            self._log += steps.KERNEL_ENDED, None, number, 0.0
            return heads
        self.settle()
        (seen,) = self._snapshots.instead((number,), (heads,))
        made = self._attention.kernel_out(seen)
        return heads if made is seen else made

    def latent(self, module: nn.Module) -> LatentCall | None:
        return self._attention.latent(module)

    def experts_in(self, module: nn.Module, experts: torch.Tensor, routing_weights: torch.Tensor) -> Choice:
        self.settle()
        self._experts_stand_in = self._experts.stand_in(module)
        return self._experts.experts_in(module, experts, routing_weights)

    def expert_in(self, expert: int, tokens: torch.Tensor, inputs: torch.Tensor) -> None:
        at, numbers = self._now(), (self._number(tokens), self._number(inputs))
        if self._experts_stand_in and self._is_calm() and self._snapshots.are_sound(numbers):
            self._log += steps.EXPERT_BEGAN, expert, numbers, at
            return
        self.settle()
        self._experts.expert_in(expert, tokens, inputs)

    def expert_weights(self, module: nn.Module, expert: int) -> ExpertWeights | None:
        return self._experts.expert_weights(module, expert)

    def expert_out(self, module: nn.Module, expert: int, output: torch.Tensor) -> torch.Tensor:
        at, number = self._now(), self._number(output)
        if self._experts_stand_in and self._is_calm() and self._snapshots.are_sound((number,)):
            self._whole = False
            self._log += steps.EXPERT_ENDED, (module, expert), number, at
            self._look(at)
            return output
        self.settle()
        return self._experts.expert_out(module, expert, output)


def _nothing_to_do() -> None:
    """Nothing is to be described."""
