"""What came by in a pass and is not described yet. Those who add to it ask here whether they may."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from tracetui.tracer.capture import snapshots
from tracetui.tracer.deferred import describing as kinds
from tracetui.tracer.deferred.at_hand import at_hand
from tracetui.tracer.deferred.describing import Describing, Log
from tracetui.tracer.deferred.pass_plan import PassPlans
from tracetui.tracer.hooks.pass_context import Pass

_PATIENCE = 0.2
"""Seconds for which nobody need hear how far the model is: most passes are over by then, and described whole."""
_MOST_OVER = 32
"""Passes that are described together, at most."""


@dataclass(frozen=True, eq=False, slots=True)
class _PassOver:
    """A pass that is not described yet."""

    number: int
    steps: Log
    snapshots: snapshots.Shelved


class PassLog:
    """Of one watch. Used by the model's thread alone."""

    def __init__(self, watched: Pass, describing: Describing, plans: PassPlans) -> None:
        """plans: of passes that were described before."""
        self.steps: Log = []
        """The same list all along, so that whoever adds to it may hold on to it."""
        self.snapshots = watched.recorder.snapshots
        # Of the gate alone: what holds on to the whole pass would outlive its trace.
        gate = watched.gate
        self.snapshots.look(watched.looks_late, lambda: bool(gate.stops))
        self.whole = True
        """Whether all that came by is still in here, and nothing in it may leave a note."""
        self.may_wait = watched.describes_when_asked and watched.weights is None
        """Whether it may be described after the call, when somebody asks."""
        self.looked_after = math.inf if self.may_wait else snapshots.LOOKED_AT
        """Bytes that have come by since somebody looked for what isn't finite, at most."""
        self._recorder, self._gate, self._edits = watched.recorder, watched.gate, watched.editor.log
        self._clock, self._now = watched.clock, watched.clock.now
        self._describing, self._plans = describing, plans
        self._next_notice = self.overdue = self._now() + _PATIENCE if watched.gate.notices else math.inf
        """When to tell how far the model is: at the end of a pass, or in the midst of one that takes long."""
        self.calm = self.is_calm()
        """Whether it was so a moment ago."""
        self._over: list[_PassOver] = []
        self._waits_over = watched.is_read_later
        """Whether passes may be described together."""

    def settle(self) -> None:
        """Describe what has been recorded since, and write it down; nobody waits there."""
        self._describe()
        self._recorder.later.write(self._recorder)

    def end(self) -> None:
        """Nothing more comes by."""
        self._describe()
        if not self._waits_over:
            self._recorder.later.write(self._recorder)

    def _describe(self) -> None:
        """Describe what has been recorded since; what follows from that need not be written down yet."""
        if not (self._over or self.steps):
            return
        began = self._now()
        if self._over:
            self._describe_over()
        if self.steps:
            self._describe_present()
        if began > self._next_notice:
            self._notice()

    def _describe_present(self) -> None:
        """The same of what stands in the log, which is of one pass."""
        log = self.steps[:]
        self.steps.clear()
        self.whole = False
        began = self._now()
        finite = self.snapshots.are_finite()
        if self.snapshots.are_on_a_device:
            self._describing.residual.value_questions.at_hand = partial(at_hand, self.snapshots)
        try:
            with self._recorder.passing(self._gate.passed):
                self._plans.describe(log, self._describing, finite)
        finally:
            self._clock.leave_out(self._now() - began)

    def pass_over(self) -> None:
        """A pass is over: describe it, or have it wait for those that follow, which together take less time."""
        if not self.steps:
            return
        if not self._may_wait_over():
            self.settle()
            return
        self._over.append(_PassOver(self._recorder.pass_, self.steps[:], self.snapshots.shelved()))
        self.steps.clear()
        if len(self._over) == _MOST_OVER or self._now() > self._next_notice:
            self._describe()

    def _may_wait_over(self) -> bool:
        """Whether a pass, all of which is in here, leaves nothing that anybody would have to know at once."""
        return (
            self._waits_over
            and self.is_calm()
            and self._describing.begins_pass
            and not self.snapshots.not_finite
            and not self.snapshots.are_on_a_device
            and self.is_end_finite()
        )

    def _describe_over(self) -> None:
        """Describe the passes that are over, as if each just were."""
        present = _PassOver(self._recorder.pass_, self.steps[:], self.snapshots.shelved())
        try:
            while self._over:
                self._take_up(self._over.pop(0))
                self._describe_present()
                self._recorder.forget_pass()
        finally:
            self._recorder.forget_pass()
            self._take_up(present)

    def _take_up(self, over: _PassOver) -> None:
        self.steps[:], self._recorder.pass_ = over.steps, over.number
        self.snapshots.take_up(over.snapshots)

    def is_end_finite(self) -> bool:
        """Whether the first and the last row is of what the whole model returned.

        A weight that isn't finite spoils both, wherever it is, and may be looked at now. All else is looked at when
        somebody asks.
        """
        if not self.steps:
            return False
        kind, site, returned, _ = self.steps[-kinds.WIDTH :]
        if kind not in kinds.ENDS or site.path:
            return False
        ends = (returned,) if kind == kinds.ENDED else returned[1]
        return self.snapshots.finite_look.are_ends_finite(self.snapshots, ends)

    def _notice(self) -> None:
        """Tell how far the model is, if anybody hears it."""
        if self._gate.is_notice_due:
            self._describe()
            self._gate.notice(self._recorder.count)
        self._next_notice = self._now() + _PATIENCE
        self.overdue = self._next_notice + _PATIENCE

    def look(self, at: float) -> None:
        """Describe what came by, and who made what in it isn't finite, if anything isn't."""
        if self.snapshots.unseen_bytes > self.looked_after and not self.snapshots.are_finite():
            self.settle()
        if at > self.overdue:
            self._notice()

    def is_calm(self) -> bool:
        """Whether nobody may wait at what comes by now, or change it."""
        self.calm = self._gate.is_calm and self._edits.idle and not self._recorder.repeats
        return self.calm

    def numbers(self, tensors: Sequence[torch.Tensor]) -> tuple[int, ...]:
        """Of their snapshots; NONE of what has none."""
        return tuple(map(self.snapshots.number, tensors))

    def takes(self, numbers: Sequence[int]) -> bool:
        """Whether what happens to these may be told later."""
        return self.is_calm() and self.snapshots.are_sound(numbers)
