"""What came by in a pass and is not described yet. Those who add to it ask here whether they may."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from tracetui.tracer.capture import snapshots
from tracetui.tracer.deferred.describing import Describing, Log
from tracetui.tracer.deferred.pass_plan import PassPlans
from tracetui.tracer.hooks.pass_context import Pass

_PATIENCE = 0.2
"""Seconds for which nobody need hear how far the model is: most passes are over by then, and described whole."""


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

    def settle(self) -> None:
        """Describe what has been recorded since; nobody waits there."""
        if not self.steps:
            return
        log = self.steps[:]
        self.steps.clear()
        self.whole = False
        began = self._now()
        finite = self.snapshots.are_finite()
        if self.snapshots.are_on_a_device:
            self._describing.residual.value_questions.at_hand = self.snapshots.at_hand
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
